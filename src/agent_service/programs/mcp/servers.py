"""The MCP servers of a service: what tools they have, and their connections."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import dspy

from agent_service.programs.loader import LoadError
from agent_service.programs.mcp.arguments import Arguments
from agent_service.programs.mcp.connection import Connection, ConnectionOptions
from agent_service.programs.mcp.results import text_of
from agent_service.programs.mcp.session import SessionError, session, tools_of

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from mcp import types

    from agent_service.core.clock import Clock
    from agent_service.programs.mcp.servers_file import Server

_log = logging.getLogger(__name__)

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")
"""Providers of language models take no other characters in a tool's name."""


@dataclass(frozen=True)
class McpServers:
    """Tools that can be offered to a program, and the connections that they call by.

    Attributes:
        tools: of all servers, named ``server_tool``. Their calls fail before ``start`` and after ``close``.
        connections: one for each server that was there.
    """

    tools: tuple[dspy.Tool, ...]
    connections: tuple[Connection, ...]

    @classmethod
    def found(
        cls, servers: Sequence[Server], *, options: ConnectionOptions, clock: Clock, random: random.Random
    ) -> McpServers:
        """Ask every server for its tools, in a session that is closed again. Blocks.

        Raises:
            LoadError: when one that is required is not there in time, or has a tool that cannot be offered.
        """
        connections, tools, problems = [], [], []
        listed = _in_a_loop_of_its_own(servers, options.start_seconds)
        for server, offered in zip(servers, listed, strict=True):
            if isinstance(offered, str):
                problems += _absence(server, offered)
                continue
            connection = Connection(server, options=options, clock=clock, random=random)
            connections.append(connection)
            made, wrong = _tools(connection, offered)
            tools += made
            problems += wrong
        twice = [name for name, times in Counter(tool.name for tool in tools).items() if times > 1]
        problems += (f"the MCP servers have more than one tool named {name}" for name in twice)
        if problems:
            raise LoadError("\n  ".join(problems))
        return cls(tuple(tools), tuple(connections))

    async def start(self) -> None:
        """Return when the sessions are open; one that could not be opened is tried again."""
        await asyncio.gather(*(connection.start() for connection in self.connections))

    async def close(self) -> None:
        """End the sessions and the servers' processes."""
        await asyncio.gather(*(connection.close() for connection in self.connections))


def _absence(server: Server, reason: str) -> list[str]:
    """What is wrong when a server is not there; nothing is when it is not required."""
    if server.required:
        return [f'MCP server {server.name} is not there: {reason}; "required": false goes on without it']
    _log.warning("going on without the MCP server %s: %s", server.name, reason)
    return []


def _tools(connection: Connection, offered: Sequence[types.Tool]) -> tuple[list[dspy.Tool], list[str]]:
    """The tools, and what is wrong with those that cannot be offered."""
    tools, problems = [], []
    for tool in offered:
        try:
            tools.append(_tool(connection, tool))
        except ValueError as error:
            problems.append(f"MCP server {connection.server.name}, tool {tool.name}: {error}")
    return tools, problems


def _tool(connection: Connection, listed: types.Tool) -> dspy.Tool:
    """Raises ``ValueError`` for a tool whose schema is wrong."""
    arguments = Arguments.of(listed.input_schema)

    async def call(**given: Any) -> str:
        return text_of(await connection.call(listed.name, arguments.sent(given)))

    tool = dspy.Tool(
        call,
        name=_NOT_IN_NAMES.sub("_", f"{connection.server.name}_{listed.name}"),
        desc=listed.description or listed.title or listed.name,
        args=dict(arguments.schemas),
        arg_types=dict.fromkeys(arguments.schemas, Any),
    )
    tool.has_kwargs = arguments.is_open
    return tool


def _in_a_loop_of_its_own(servers: Sequence[Server], limit_seconds: float) -> list[list[types.Tool] | str]:
    """What each server lists, or why it does not; the caller may be one that has a loop already."""
    outcome: Future[list[list[types.Tool] | str]] = Future()

    async def ask() -> list[list[types.Tool] | str]:
        return await asyncio.gather(*(_listed(server, limit_seconds) for server in servers))

    def work() -> None:
        try:
            outcome.set_result(asyncio.run(ask()))
        except BaseException as error:  # noqa: BLE001 - it is raised where the outcome is waited for
            outcome.set_exception(error)

    # A daemon: a signal that ends the process meanwhile ends it at once.
    threading.Thread(target=work, name="mcp", daemon=True).start()
    return outcome.result()


async def _listed(server: Server, limit_seconds: float) -> list[types.Tool] | str:
    try:
        with anyio.fail_after(limit_seconds):
            async with session(server, when_changed=lambda: None) as client:
                return await tools_of(client)
    except SessionError as error:
        return f"{error}; its last words: {error.last_words}" if error.last_words else str(error)
    except TimeoutError:
        return f"it did not answer within {limit_seconds:g} seconds"
