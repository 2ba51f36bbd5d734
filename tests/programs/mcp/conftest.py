"""Real MCP servers, and tools of theirs at the seam."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.core.clock import Deadline, SystemClock
from agent_service.core.run import Run
from agent_service.programs.context import running
from agent_service.programs.mcp.connection import Connection, ConnectionOptions
from agent_service.programs.mcp.servers_file import StdioServer
from agent_service.programs.threads import LoopBridge, WorkThreads
from agent_service.programs.tools import ToolSeam
from agent_service.testing import RecordingObserver

if TYPE_CHECKING:
    from collections.abc import Iterator

    import dspy

ASSETS = Path(__file__).parent / "assets"
QUICK = ConnectionOptions(first_pause_seconds=0.01, longest_pause_seconds=0.05)
_START_SECONDS = 30.0


@dataclass
class Notes:
    """What the servers of a test wrote down."""

    path: Path

    def lines(self) -> list[str]:
        """Line by line."""
        return self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []

    def started(self) -> list[int]:
        """The processes that were started."""
        return [int(line.split()[1]) for line in self.lines() if line.startswith("started")]


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    """Nothing is written yet."""
    return Notes(tmp_path / "notes")


@pytest.fixture
def stdio(notes: Notes) -> StdioServer:
    """A server that is started as a process."""
    return stdio_server("server.py", notes=notes)


def stdio_server(asset: str, *arguments: str, notes: Notes, **changes: Any) -> StdioServer:
    """The server in the file ``asset``."""
    args = (str(ASSETS / asset), *arguments)
    env = {"NOTES": str(notes.path)}
    return StdioServer(name="tests", command=sys.executable, args=args, env=env, **changes)


def connection(server: Any, options: ConnectionOptions = QUICK) -> Connection:
    """A connection that is not patient."""
    return Connection(server, options=options, clock=SystemClock(), random=Random(0))


class HttpProcess:
    """A server on a port of its own, which it keeps when it is started again."""

    def __init__(self, notes: Notes) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._notes = notes
        self._process: subprocess.Popen[bytes]
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/mcp"

    def start(self) -> None:
        command = [sys.executable, str(ASSETS / "server.py"), "http", str(self._port)]
        self._process = subprocess.Popen(
            command, env={"NOTES": str(self._notes.path)}, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + _START_SECONDS
        while not self._listens():
            assert time.monotonic() < end, "the MCP server does not listen"
            time.sleep(0.02)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _listens(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self._port)) == 0


@pytest.fixture
def http(notes: Notes) -> Iterator[HttpProcess]:
    """A server that is reached by streamable HTTP."""
    process = HttpProcess(notes)
    yield process
    process.stop()


class Seam:
    """The tool seam on the running loop, with a limit of a call."""

    def __init__(self, timeout_seconds: float) -> None:
        bridge = LoopBridge()
        bridge.attach()
        threads = WorkThreads("tool", size=1)
        self._seam = ToolSeam(threads=threads, bridge=bridge, timeout_seconds=timeout_seconds)
        clock = SystemClock()
        self.observer = RecordingObserver()
        self.run = Run(
            request_id="r1", deadline=Deadline.after(clock, 30.0), clock=clock, observer=self.observer
        )

    async def acall(self, tool: dspy.Tool, **arguments: Any) -> Any:
        """One call by an agent's run."""
        with running(self.run, None):
            return await self._seam.take(tool, observing=True).acall(**arguments)
