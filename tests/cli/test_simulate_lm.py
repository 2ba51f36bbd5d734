from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

import httpx
import pytest
from click.testing import CliRunner

from agent_service.cli.main import main
from tests.processes import ServerProcess

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fault", "flood"], "unknown fault 'flood'; allowed: a status from 400 to 599"),
        (["--fault-rate", "2"], "--fault-rate"),
        (["--latency", "-1"], "--latency"),
        (["--port", "70000"], "--port"),
    ],
)
def test_wrong_options_are_wrong_usage(arguments: list[str], said: str) -> None:
    """Exit status 2, and what is allowed."""
    done = CliRunner().invoke(main, ["simulate-lm", *arguments])
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_port_that_is_taken_is_a_failure() -> None:
    """Exit status 1 and one line that names the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(main, ["simulate-lm", "--port", str(port)])
    assert done.exit_code == 1
    assert done.stderr.startswith(f"Error: cannot listen on 127.0.0.1:{port}: ")


def test_it_fails_as_it_is_told_to_and_stops_when_asked(tmp_path: Path) -> None:
    """The options reach the simulator."""
    arguments = ["simulate-lm", "--port", "0", "--fault", "529", "--fault-rate", "1"]
    running = ServerProcess(arguments, environ=dict(os.environ), folder=tmp_path)
    try:
        body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
        assert httpx.post(f"{running.url()}/chat/completions", json=body).status_code == 529
        running.signal(signal.SIGTERM)
        assert running.status() == 0
    finally:
        running.close()
