"""MCP servers of a service in processes of its own: from the start to the end, whichever it is."""

from __future__ import annotations

import json
import signal
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.processes import wait_until
from tests.programs.mcp.conftest import ASSETS, Notes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.processes import Service, Simulator


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    """What the servers write down."""
    return Notes(tmp_path / "notes")


def write(folder: Path, asset: str, *arguments: str) -> str:
    """A file with one server."""
    server = {
        "command": sys.executable,
        "args": [str(ASSETS / asset), *arguments],
        "env": {"NOTES": "${NOTES_FILE}"},
    }
    path = folder / "mcp.json"
    path.write_text(json.dumps({"mcpServers": {"sums": server}}), encoding="utf-8")
    return str(path)


def test_each_worker_has_its_own_servers_until_it_ends(
    serve: Callable[..., Service], simulator: Simulator, notes: Notes, tmp_path: Path
) -> None:
    """Their tools answer and are counted; no process is left after a stop, nor after a crash."""
    simulator.script(
        "[[ ## next_thought ## ]]\nx\n[[ ## next_tool_name ## ]]\nsums_add\n"
        '[[ ## next_tool_args ## ]]\n{"x": 40}',
        "[[ ## next_thought ## ]]\nx\n[[ ## next_tool_name ## ]]\nfinish\n[[ ## next_tool_args ## ]]\n{}",
        "[[ ## reasoning ## ]]\nx\n[[ ## answer ## ]]\n42",
    )
    service = serve(
        **simulator.settings(
            AGENT_MCP_SERVERS=write(tmp_path, "server.py"), NOTES_FILE=str(notes.path), SERVER_WORKERS="2"
        )
    )
    answer = service.ask("What is 40+2?").json()
    assert (answer["answer"], answer["tools_used"]) == ("42", ["sums_add"])
    wait_until("both workers serve", lambda: len(_alive(notes)) == 2)
    worker = psutil.Process(psutil.Process(_alive(notes)[0]).ppid())
    worker.kill()
    wait_until("another worker serves", lambda: len(notes.started()) >= 6 and len(_alive(notes)) == 2)
    service.signal(signal.SIGTERM)
    assert service.status() == 0
    assert _alive(notes) == []


def test_a_server_that_is_not_there_refuses_the_start(serve: Callable[..., Service], tmp_path: Path) -> None:
    """The log says which, why, and what it said."""
    service = serve(AGENT_MCP_SERVERS=write(tmp_path, "odd_server.py", "ends"), NOTES_FILE="none")
    assert service.status() == 1
    assert "MCP server sums is not there" in service.output
    assert "there is no such database" in service.output


def _alive(notes: Notes) -> list[int]:
    return [
        pid
        for pid in notes.started()
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]
