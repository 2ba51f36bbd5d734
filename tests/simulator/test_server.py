from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from agent_service.simulator.server import Fault, create_simulator, run_simulator, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULE = "from agent_service.simulator.server import Fault, run_simulator; "
BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    """A simulator in a process of its own, in which every answer fails."""
    command = "run_simulator(port=0, latency_seconds=0.01, faults=[Fault('hang')])"
    with subprocess.Popen(
        [sys.executable, "-c", MODULE + command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        yield started
        started.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_says_where_it_listens_and_ends_at_once(
    process: subprocess.Popen[str], number: signal.Signals
) -> None:
    """The first line names the address; a signal ends it with status 0, hanging answers or not, silently."""
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    assert line.startswith("simulator listening on http://127.0.0.1:")
    base_url = line.rpartition(" ")[2].strip()
    with httpx.Client(trust_env=False) as client:
        with pytest.raises(httpx.ReadTimeout):
            client.post(f"{base_url}/chat/completions", json=BODY, timeout=0.1)
        assert client.get(f"{base_url}/models").status_code == 200
    process.send_signal(number)
    assert process.wait(10) == 0
    assert process.stderr.read() == ""


def test_a_wrong_behaviour_stops_the_start() -> None:
    """What is not allowed is refused before anything listens."""
    with pytest.raises(ValueError, match="latency must not be negative"):
        run_simulator(port=0, latency_seconds=-1)


async def test_an_address_in_use_is_an_error() -> None:
    """Two servers cannot listen on one address."""
    async with serve(create_simulator()) as base_url:
        port = int(base_url.removesuffix("/v1").rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            async with serve(create_simulator(), port=port):
                pass


async def test_leaving_breaks_off_what_hangs() -> None:
    """The context ends although an answer hangs; its client sees the connection close."""
    async with httpx.AsyncClient(trust_env=False) as client:
        async with serve(create_simulator()) as base_url:
            body = {**BODY, "messages": [{"role": "user", "content": "#sim:fault=hang"}]}
            hanging = asyncio.ensure_future(client.post(f"{base_url}/chat/completions", json=body))
            journal = base_url.replace("/v1", "/_sim/journal")
            while not (await client.get(journal)).json():
                pass
        with pytest.raises(httpx.HTTPError):
            await hanging


def test_faults_are_exported_for_the_command_line() -> None:
    """A caller needs no other module to name a fault."""
    assert Fault("500", rate=0.1).status == 500
