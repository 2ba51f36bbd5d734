"""A session with an MCP server, by whichever way the server is reached."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx2
from mcp import Client, MCPError, StdioServerParameters, stdio_client, types
from mcp.client.streamable_http import streamable_http_client
from typing_extensions import Self

from agent_service import __version__
from agent_service.programs.mcp.error_lines import ErrorLines
from agent_service.programs.mcp.servers_file import Server, StdioServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import TracebackType

    from mcp.client._transport import ReadStream, TransportStreams
    from mcp.shared.message import SessionMessage

_log = logging.getLogger(__name__)

_CONNECT_SECONDS = 10.0
_READ_SECONDS = 3600.0
"""Of an answer's stream; whoever calls a tool has limits of their own."""
_MAX_PAGES = 100

for _library in ("mcp", "client", "httpx2", "httpcore2"):
    # Their lines hold what servers said, and addresses with keys in them.
    if logging.getLogger(_library).level == logging.NOTSET:
        logging.getLogger(_library).setLevel(logging.CRITICAL + 1)


class SessionError(Exception):
    """A session could not be opened, or it ended. The message is for whoever runs the service.

    ``last_words`` is what the server's process wrote to its standard error, which may be anything.
    """

    def __init__(self, message: str, *, last_words: str = "") -> None:
        super().__init__(message)
        self.last_words = last_words


@asynccontextmanager
async def session(server: Server, *, when_changed: Callable[[], None]) -> AsyncIterator[Client]:
    """Within, a session with ``server`` is open. Enter and leave it in the same task, which it may cancel.

    Args:
        server: which.
        when_changed: called when the server ended the session.

    Raises:
        SessionError: when it cannot be opened, and when it breaks.
    """
    lines = ErrorLines(server.name)
    try:
        async with (
            _transport(server, lines) as (reading, writing),
            Client(
                _Given(_Watched(reading, when_changed), writing),
                cache=None,
                client_info=types.Implementation(name="agent-service", version=__version__),
                message_handler=_ChangeLog(server.name),
            ) as client,
        ):
            yield client
    except Exception as error:
        raise SessionError(reason(error), last_words=lines.last_words) from error


async def tools_of(client: Client) -> list[types.Tool]:
    """All tools that the server lists.

    Raises:
        MCPError: when it does not, or has no end of pages.
    """
    found: list[types.Tool] = []
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if cursor is None:
            return found
    raise SessionError("its list of tools does not end")


def reason(error: BaseException) -> str:
    """Why there is no session, in few words."""
    while nested := getattr(error, "exceptions", None):
        error = nested[0]
    if isinstance(error, SessionError):
        return str(error)
    if isinstance(error, FileNotFoundError):
        return f"there is no {error.filename}"
    if isinstance(error, MCPError) and error.code == types.CONNECTION_CLOSED:
        return "it closed the connection"
    return f"{type(error).__name__}: {error}"


@asynccontextmanager
async def _transport(server: Server, lines: ErrorLines) -> AsyncIterator[TransportStreams]:
    async with AsyncExitStack() as stack:
        if isinstance(server, StdioServer):
            parameters = StdioServerParameters(
                command=server.command, args=list(server.args), env=server.env, cwd=server.cwd
            )
            errors = await stack.enter_async_context(lines.reading())
            yield await stack.enter_async_context(stdio_client(parameters, errlog=errors))
            return
        timeout = httpx2.Timeout(_CONNECT_SECONDS, read=_READ_SECONDS)
        http = await stack.enter_async_context(httpx2.AsyncClient(headers=server.headers, timeout=timeout))
        yield await stack.enter_async_context(streamable_http_client(server.url, http_client=http))


class _Given:
    """A transport that is open already."""

    def __init__(self, *streams: Any) -> None:
        self._streams = streams

    async def __aenter__(self) -> Any:
        return self._streams

    async def __aexit__(self, *_: object) -> None:
        pass


class _Watched:
    """A stream that tells of its end."""

    def __init__(
        self, stream: ReadStream[SessionMessage | Exception], when_ended: Callable[[], None]
    ) -> None:
        self._stream = stream
        self._when_ended = when_ended

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self._stream.__anext__()
        except StopAsyncIteration:
            self._when_ended()
            raise

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return await self._stream.__aexit__(kind, error, trace)


class _ChangeLog:
    """Says that a server's tools changed; the program was made with those of the start."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def __call__(self, message: object) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            _log.warning("MCP server %s changed its tools; a restart takes them over", self._name)
