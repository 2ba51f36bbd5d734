"""The connection to an MCP server: calls, their end, and the server's own end."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from agent_service.programs.mcp.connection import McpUnavailableError
from agent_service.programs.mcp.results import text_of
from agent_service.programs.mcp.servers_file import HttpServer
from tests.programs.conftest import eventually
from tests.programs.mcp.conftest import QUICK, connection, stdio_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_service.programs.mcp.connection import Connection, ConnectionOptions
    from agent_service.programs.mcp.servers_file import Server, StdioServer
    from tests.programs.mcp.conftest import HttpProcess, Notes


@asynccontextmanager
async def started(server: Server, options: ConnectionOptions = QUICK) -> AsyncIterator[Connection]:
    """Within, the connection is open."""
    made = connection(server, options)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


async def sum_of(at: Connection, **arguments: Any) -> str:
    """What the server adds up."""
    return text_of(await at.call("add", arguments))


def runs(pid: int) -> bool:
    """Whether the process is there; one that nobody waited for is not."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def adds_again(at: Connection) -> None:
    """Return when calls succeed."""

    async def succeed() -> None:
        while True:
            try:
                await sum_of(at, x=1)
            except McpUnavailableError:
                continue
            return

    await asyncio.wait_for(succeed(), 20)


async def test_a_process_serves_calls_until_the_end(stdio: StdioServer, notes: Notes) -> None:
    """One process for all calls, at once too; it is gone when the connection is closed."""
    async with started(stdio) as at:
        assert await asyncio.gather(*(sum_of(at, x=x) for x in range(20))) == [str(x + 2) for x in range(20)]
    (process,) = notes.started()
    assert not runs(process)
    with pytest.raises(McpUnavailableError, match="is not connected"):
        await sum_of(at, x=1)


async def test_a_process_gets_its_own_environment_only(
    stdio: StdioServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the service's keys; and it leads a process group of its own."""
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    async with started(stdio) as at:
        shown = text_of(await at.call("environment", {}))
    assert ("NOTES" in shown, "PATH" in shown, "secret" in shown) == (True, True, False)


async def test_a_process_that_is_killed_is_started_again(stdio: StdioServer, notes: Notes) -> None:
    """Without a call that would have to find out."""
    async with started(stdio) as at:
        os.kill(notes.started()[0], signal.SIGKILL)
        await eventually(lambda: len(notes.started()) == 2)
        await adds_again(at)


async def test_a_call_that_ends_the_process_fails(stdio: StdioServer) -> None:
    """In words that an agent can read; later ones succeed again."""
    async with started(stdio) as at:
        with pytest.raises(McpUnavailableError, match="MCP server tests failed: it closed the connection"):
            await at.call("die", {})
        await adds_again(at)


async def test_calls_do_not_wait_long_for_a_server_that_is_down(http: HttpProcess) -> None:
    """An agent can go on without; when the server is back, so are its tools."""
    impatient = replace(QUICK, call_patience_seconds=0.05)
    async with started(HttpServer(name="tests", url=http.url), impatient) as at:
        assert await sum_of(at, x=1) == "3"
        http.stop()
        with pytest.raises(McpUnavailableError, match="failed"):
            await sum_of(at, x=1)
        with pytest.raises(McpUnavailableError, match="is not reachable at present"):
            await sum_of(at, x=1)
        http.start()
        await adds_again(at)


async def test_a_server_that_comes_late_is_taken(http: HttpProcess) -> None:
    """The start of the service does not hang on it for longer than it may."""
    http.stop()
    at = connection(HttpServer(name="tests", url=http.url), replace(QUICK, start_seconds=0.5))
    await at.start()
    http.start()
    await adds_again(at)
    await at.close()


async def test_a_cancelled_call_is_cancelled_at_the_server(stdio: StdioServer, notes: Notes) -> None:
    """Nobody works for an answer that nobody wants; the session goes on."""
    async with started(stdio) as at:
        call = asyncio.create_task(at.call("wait", {}))
        await eventually(lambda: "waiting" in notes.lines())
        call.cancel()
        await eventually(lambda: "cancelled" in notes.lines())
        assert await sum_of(at, x=1, y=1) == "2"
    assert call.cancelled()


async def test_a_call_may_come_from_another_loop(stdio: StdioServer) -> None:
    """Programs use loops of their own in threads; the session stays on the service's."""
    async with started(stdio) as at:
        assert await asyncio.to_thread(asyncio.run, sum_of(at, x=5)) == "7"


async def test_a_stubborn_process_and_its_children_are_killed(notes: Notes) -> None:
    """They would be left behind by every restart."""
    async with started(stdio_server("odd_server.py", "stubborn", notes=notes)):
        pids = [int(pid) for pid in notes.lines()[0].split()]
    assert [pid for pid in pids if runs(pid)] == []


async def test_the_service_starts_without_a_silent_server(notes: Notes) -> None:
    """It was there a moment ago; calls say that it is not."""
    impatient = replace(QUICK, start_seconds=0.2, call_patience_seconds=0.01)
    async with started(stdio_server("odd_server.py", "silent", notes=notes), impatient) as at:
        with pytest.raises(McpUnavailableError, match="is not reachable"):
            await sum_of(at, x=1)
