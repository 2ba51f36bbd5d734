"""The tools of MCP servers as tools of DSPy's, through the tool seam."""

from __future__ import annotations

import asyncio
import logging
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.core.clock import SystemClock
from agent_service.core.observer import ToolFinished
from agent_service.core.run import RunStoppedError, StopReason
from agent_service.programs.loader import LoadError
from agent_service.programs.mcp.connection import ConnectionOptions
from agent_service.programs.mcp.servers import McpServers
from agent_service.programs.mcp.servers_file import StdioServer
from tests.programs.conftest import eventually
from tests.programs.mcp.conftest import QUICK, Seam, stdio_server

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_service.programs.mcp.servers_file import Server
    from tests.programs.mcp.conftest import Notes


def found(servers: Sequence[Server], options: ConnectionOptions = QUICK) -> McpServers:
    return McpServers.found(servers, options=options, clock=SystemClock(), random=Random(0))


def refusal(*servers: Server, start_seconds: float = 30.0) -> str:
    """Why the service does not start with these."""
    with pytest.raises(LoadError) as caught:
        found(servers, ConnectionOptions(start_seconds=start_seconds))
    return str(caught.value)


async def test_tools_are_described_and_called(stdio: StdioServer) -> None:
    """Under the server's name; arguments are checked here, and answers are text."""
    servers = found([stdio])
    tools: dict[str, Any] = {tool.name: tool for tool in servers.tools}
    assert list(tools) == [
        f"tests_{name}" for name in ("add", "paint", "environment", "refuse", "wait", "die")
    ]
    assert tools["tests_add"].desc == "Add two numbers."
    assert tools["tests_paint"].args["color"]["enum"] == ["red", "green"]
    at = Seam(timeout_seconds=5.0)
    await servers.start()
    try:
        assert await at.acall(tools["tests_add"], x=40) == "42"
        assert await at.acall(tools["tests_paint"], color="red", size=None) == (
            "[image left out: only text can be read]"
        )
        assert "Arg color is invalid" in await at.acall(tools["tests_paint"], color="blue")
        assert "Arg z is not in the tool's args" in await at.acall(tools["tests_add"], x=1, z=1)
        assert (await at.acall(tools["tests_refuse"], why="x")).startswith(
            "Execution error in tests_refuse: McpToolError: "
        )
    finally:
        await servers.close()
    assert (await at.acall(tools["tests_add"], x=1)).endswith("the MCP server tests is not connected")


async def test_a_call_ends_at_its_limit_and_with_its_run(stdio: StdioServer, notes: Notes) -> None:
    """The agent is told of the limit; a stop ends the query. Both cancel the call at the server."""
    servers = found([stdio])
    wait = next(tool for tool in servers.tools if tool.name == "tests_wait")
    await servers.start()
    try:
        limited = Seam(timeout_seconds=0.2)
        assert await limited.acall(wait) == (
            "Execution error in tests_wait: TimeoutError: it took longer than 0.2 seconds"
        )
        at = Seam(timeout_seconds=20.0)
        call = asyncio.create_task(at.acall(wait))
        await eventually(lambda: notes.lines().count("waiting") == 2)
        at.run.stop(StopReason.CALLER_LEFT)
        with pytest.raises(RunStoppedError):
            await call
        await eventually(lambda: notes.lines().count("cancelled") == 2)
    finally:
        await servers.close()
    assert [event.outcome for event in limited.observer.of(ToolFinished)] == ["timeout"]


def test_a_required_server_that_is_not_there_refuses_the_start(notes: Notes) -> None:
    """With the reason, its words, and the way round it; each of several."""
    ends = stdio_server("odd_server.py", "ends", notes=notes)
    nowhere = StdioServer(name="nowhere", command="/no/such/command")
    said = refusal(ends, nowhere).split("\n  ")
    assert "; its last words: there is no such database; " in said[0]
    assert said[1] == (
        'MCP server nowhere is not there: there is no /no/such/command; "required": false goes on without it'
    )


def test_a_start_has_a_limit(notes: Notes) -> None:
    """A server that says nothing does not hang the service."""
    silent = stdio_server("odd_server.py", "silent", notes=notes)
    assert "it did not answer within 0.3 seconds" in refusal(silent, start_seconds=0.3)


def test_a_server_that_is_not_required_may_be_missing(caplog: pytest.LogCaptureFixture) -> None:
    """The program does without its tools; the log says so."""
    nowhere = StdioServer(name="nowhere", command="/no/such/command", required=False)
    with caplog.at_level(logging.WARNING):
        assert found([nowhere]).tools == ()
    assert "going on without the MCP server nowhere" in caplog.text


def test_a_tool_with_a_wrong_schema_refuses_the_start(notes: Notes) -> None:
    """Not the first query that uses it."""
    wrong = stdio_server("odd_server.py", "schema", notes=notes)
    assert refusal(wrong).startswith("MCP server tests, tool odd.one: its schema is not valid")


def test_two_tools_of_one_name_are_refused(notes: Notes) -> None:
    """Characters that providers do not take become lines; then names may meet."""
    plain = stdio_server("odd_server.py", "plain", notes=notes)
    assert [tool.name for tool in found([plain]).tools] == ["tests_odd_one"]
    assert refusal(plain, plain) == "the MCP servers have more than one tool named tests_odd_one"


async def test_servers_are_found_within_a_running_loop(notes: Notes) -> None:
    """Whoever builds a service may have a loop."""
    assert found([stdio_server("odd_server.py", "plain", notes=notes)]).tools
