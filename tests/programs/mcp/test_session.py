"""A session with an MCP server, and why there is none."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from agent_service.programs.mcp.servers_file import HttpServer, StdioServer
from agent_service.programs.mcp.session import SessionError, session, tools_of
from tests.programs.mcp.conftest import stdio_server

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_service.programs.mcp.servers_file import Server
    from tests.programs.mcp.conftest import HttpProcess, Notes


async def names(server: Server) -> Sequence[str]:
    """The names of a server's tools."""
    async with session(server, when_changed=lambda: None) as client:
        return [tool.name for tool in await tools_of(client)]


async def why_not(server: Server) -> SessionError:
    """Why there is no session."""
    with pytest.raises(SessionError) as caught:
        await names(server)
    return caught.value


TOOLS = ["add", "paint", "environment", "refuse", "wait", "die"]


async def test_a_process_and_an_address_are_reached(stdio: StdioServer, http: HttpProcess) -> None:
    """By stdio and by streamable HTTP, with the same tools."""
    assert await names(stdio) == TOOLS
    assert await names(HttpServer(name="tests", url=http.url)) == TOOLS


async def test_the_end_of_a_session_is_told(stdio: StdioServer) -> None:
    """So that it is opened again before it is needed."""
    ended: list[bool] = []
    with pytest.raises(SessionError, match="it closed the connection"):
        async with session(stdio, when_changed=lambda: ended.append(True)) as client:
            await client.call_tool("die")
    assert ended == [True]


async def test_a_process_that_ends_leaves_its_words(notes: Notes) -> None:
    """They say what is missing."""
    error = await why_not(stdio_server("odd_server.py", "ends", notes=notes))
    assert (str(error), error.last_words) == ("it closed the connection", "there is no such database")


async def test_a_command_that_is_not_there_is_named() -> None:
    """The commonest mistake."""
    assert str(await why_not(StdioServer(name="a", command="/no/such/command"))) == (
        "there is no /no/such/command"
    )


async def test_an_address_that_nobody_listens_at(http: HttpProcess) -> None:
    """Its error has no address in it, which may hold a key."""
    http.stop()
    error = str(await why_not(HttpServer(name="a", url=f"{http.url}?key=secret")))
    assert error.startswith("ConnectError: ")
    assert "secret" not in error


async def test_what_servers_say_is_not_logged(stdio: StdioServer, caplog: pytest.LogCaptureFixture) -> None:
    """The library's own lines hold messages of servers; they are left out unless asked for."""
    with caplog.at_level(logging.DEBUG):
        await names(stdio)
    assert not [record for record in caplog.records if record.name.split(".")[0] in {"mcp", "client"}]
