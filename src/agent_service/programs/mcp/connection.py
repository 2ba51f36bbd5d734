"""The connection to one MCP server for as long as the service runs."""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
from mcp import Client, MCPError, types

from agent_service.core.clock import wait_at_most
from agent_service.programs.mcp.session import SessionError, reason, session, tools_of

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from agent_service.core.clock import Clock
    from agent_service.programs.mcp.servers_file import Server

_log = logging.getLogger(__name__)

_GONE = (MCPError, anyio.ClosedResourceError, anyio.BrokenResourceError)


class McpUnavailableError(Exception):
    """The server cannot be reached at present. The message may be shown to an agent."""


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """How patient it is.

    Attributes:
        start_seconds: for a server to start and to list its tools.
        call_patience_seconds: how long a call waits for a session that is being opened.
        check_seconds: for a server to show that it is still there.
        first_pause_seconds: upper bound of the pause before it is connected to again; it doubles each time.
        longest_pause_seconds: upper bound of any pause.
        closing_seconds: for a session to end; a process is killed before.
    """

    start_seconds: float = 30.0
    call_patience_seconds: float = 2.0
    check_seconds: float = 5.0
    first_pause_seconds: float = 0.5
    longest_pause_seconds: float = 30.0
    closing_seconds: float = 8.0


class Connection:
    """Keeps a session open, and opens another when it ends.

    One task owns the sessions, because each must be left in the task that entered it; calls come from any.
    """

    def __init__(
        self, server: Server, *, options: ConnectionOptions, clock: Clock, random: random.Random
    ) -> None:
        self.server = server
        self._options = options
        self._clock = clock
        self._random = random
        self._loop: asyncio.AbstractEventLoop | None = None
        self._doubt = asyncio.Event()
        self._calls: set[asyncio.Future[types.CallToolResult]] = set()
        self._life: anyio.CancelScope
        self._client: asyncio.Future[Client]
        self._owner: asyncio.Task[None]

    def __repr__(self) -> str:
        state = "up" if self._loop and self._client.done() else "down"
        return f"<Connection to {self.server.name}, {state}>"

    async def start(self) -> None:
        """Return when the session is open, or could not be opened in time; then it is tried again."""
        self._loop, self._life = asyncio.get_running_loop(), anyio.CancelScope()
        self._client = self._loop.create_future()
        self._owner = self._loop.create_task(self._keep())
        await wait_at_most(self._clock, self._options.start_seconds, self._client)

    async def close(self) -> None:
        """End the session and the server's process. Harmless when it never started."""
        if self._loop is None:
            return
        self._loop = None
        self._life.cancel()
        if not await wait_at_most(self._clock, self._options.closing_seconds, self._owner):
            _log.error("MCP server %s does not end", self.server.name)

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> types.CallToolResult:
        """Call one of the server's tools, from whatever event loop. A cancelled call is cancelled there.

        Raises:
            McpUnavailableError: when there is no session, or it ended meanwhile.
        """
        home = self._loop
        if home is None:
            raise McpUnavailableError(f"the MCP server {self.server.name} is not connected")
        if asyncio.get_running_loop() is home:
            return await self._call(tool, arguments)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._call(tool, arguments), home))

    async def _call(self, tool: str, arguments: Mapping[str, Any]) -> types.CallToolResult:
        if not await wait_at_most(self._clock, self._options.call_patience_seconds, self._client):
            raise McpUnavailableError(f"the MCP server {self.server.name} is not reachable at present")
        calling = asyncio.ensure_future(self._client.result().call_tool(tool, dict(arguments)))
        self._calls.add(calling)
        calling.add_done_callback(self._forget)
        try:
            # Shielded: a server that reads nothing would hold up the telling that the call is cancelled.
            return await asyncio.shield(calling)
        except asyncio.CancelledError:
            calling.cancel()
            raise
        except _GONE as error:
            self._doubt.set()
            raise McpUnavailableError(f"the MCP server {self.server.name} failed: {reason(error)}") from error

    def _forget(self, call: asyncio.Future[types.CallToolResult]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()

    async def _keep(self) -> None:
        failures = 0
        with self._life:
            while True:
                was_up = await self._live()
                failures = 0 if was_up else failures + 1
                await wait_at_most(self._clock, self._pause_seconds(failures))

    def _pause_seconds(self, failures: int) -> float:
        """Full jitter, as in ``core/retry.py``; the power is bounded, for floats are."""
        ceiling = self._options.first_pause_seconds * 2.0 ** min(failures, 30)
        return self._random.uniform(0, min(self._options.longest_pause_seconds, ceiling))

    async def _live(self) -> bool:
        """One session from its begin to its end; whether it was ever open."""
        was_up = False
        try:
            with anyio.fail_after(self._options.start_seconds) as limit:
                async with session(self.server, when_changed=self._doubt.set) as client:
                    await tools_of(client)  # answers are checked against what is listed
                    limit.deadline, was_up = math.inf, True
                    await self._serve(client)
        except SessionError as error:
            _log.warning("MCP server %s is not there: %s", self.server.name, error)
        except TimeoutError:
            _log.warning("MCP server %s did not start in time", self.server.name)
        return was_up

    async def _serve(self, client: Client) -> None:
        """Offer the session to calls until the server does not answer any more."""
        _log.info("MCP server %s is connected", self.server.name)
        self._doubt.clear()
        self._client.set_result(client)
        try:
            while True:
                await self._doubt.wait()
                self._doubt.clear()
                await self._check(client)
        finally:
            self._client = asyncio.get_running_loop().create_future()

    async def _check(self, client: Client) -> None:
        with anyio.move_on_after(self._options.check_seconds) as limit:
            await client.list_tools()
        if limit.cancelled_caught:
            raise SessionError("it does not answer")
