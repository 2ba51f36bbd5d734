"""The client for what is more than plain: proxies, waits of an LM's own, unusual requests.

aiohttp carries it. No redirect is followed, nothing is repeated, no cookie is kept.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
from dspy._vendor.lm15.transports import AsyncTransportResponse, ProtocolError, TransportError
from dspy._vendor.lm15.transports._proxy import proxy_route_for
from dspy._vendor.lm15.transports._url import parse_url
from yarl import URL

from agent_service.programs.lm.http.connection import MAX_HEAD_BYTES
from agent_service.programs.lm.http.request_head import STANDARD_HEADERS
from agent_service.programs.lm.http.unfolding import check_codings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from dspy import lm15
    from dspy._vendor.lm15.transports import TransportRequest

_CONNECT_SECONDS = 10.0
_IDLE_SECONDS = 50.0  # shorter than the minute after which common load balancers hang up

# ValueError: an address or a header, a key with a line feed say, that cannot be sent.
_FAILURES = (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError)


class LibraryClient:
    """Calls providers by aiohttp. Belongs to the loop that first uses it.

    Proxies come from the environment (``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY``), read
    once for each host; private authorities from ``SSL_CERT_FILE``.

    Args:
        timeouts: waits that the author of an LM chose; else only connecting has a limit here, 10 s.
        max_connections: connections at once; a call waits for one to be free.
        max_body_bytes: longest body of an answer, after decompression.
    """

    def __init__(self, *, timeouts: lm15.Timeouts | None, max_connections: int, max_body_bytes: int) -> None:
        self._timeout = _client_timeout(timeouts)
        self._max_connections = max_connections
        self._max_body_bytes = max_body_bytes
        self._session: aiohttp.ClientSession | None = None
        self._routes: dict[tuple[str, str | None], _Route] = {}
        self._answers: set[LibraryAnswer] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"<LibraryClient {self._max_connections} connections, {self._max_body_bytes} B>"

    async def aclose(self) -> None:
        """Close the connections, those in use too."""
        self._closed = True
        for answer in list(self._answers):
            answer.close()  # the session would close its connection and leave its reader waiting
        if self._session is not None:
            await self._session.close()

    async def begin(self, request: TransportRequest) -> LibraryAnswer:
        """Send ``request`` and wait for the head of the answer, which the caller closes."""
        session = self._open_session()
        url = URL(request.url, encoded=True)
        route = self._routes.get((url.scheme, url.host)) or self._new_route(request.url, url)
        try:
            response = await session.request(
                request.method,
                url,
                data=request.body or None,
                headers=[*request.headers, *route.headers.items()] if route.headers else request.headers,
                allow_redirects=False,
                proxy=route.proxy,
                proxy_headers=route.proxy_headers,
            )
        except _FAILURES as error:
            raise _translated(error) from error
        answer = LibraryAnswer(response, self._max_body_bytes, when_closed=self._answers.discard)
        self._answers.add(answer)
        return answer

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise TransportError("the transport is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections, keepalive_timeout=_IDLE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=STANDARD_HEADERS,
                timeout=self._timeout,
                max_line_size=MAX_HEAD_BYTES,
                max_field_size=MAX_HEAD_BYTES,
            )
        return self._session

    def _new_route(self, address: str, url: URL) -> _Route:
        """How to get to the host of ``url``; lm15 reads the environment."""
        proxy = proxy_route_for(parse_url(address), proxy=None, trust_env=True)
        route = _Route()
        if proxy is not None:
            secret = {} if proxy.basic_auth is None else {"Proxy-Authorization": proxy.basic_auth}
            route = _Route(URL.build(scheme="http", host=proxy.host, port=proxy.port))
            # A tunnel's request carries it to the proxy; the request within must not carry it on.
            (route.proxy_headers if url.scheme == "https" else route.headers).update(secret)
        return self._routes.setdefault((url.scheme, url.host), route)


class LibraryAnswer(AsyncTransportResponse):
    """An answer whose head is here; the body is read once, whole or in pieces."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        max_body_bytes: int,
        *,
        when_closed: Callable[[LibraryAnswer], None],
    ) -> None:
        self.status = response.status
        self.reason = response.reason or ""
        self._response = response
        self._max_body_bytes = max_body_bytes
        self._when_closed = when_closed

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Names and values, repeated ones too."""
        return list(self._response.headers.items())

    @property
    def http_version(self) -> str:
        """Of the status line."""
        version = self._response.version
        return "" if version is None else f"HTTP/{version.major}.{version.minor}"

    async def read(self) -> bytes:
        """The whole body. An error lets go of what was read, though its traceback is kept for a while."""
        body = bytearray()
        try:
            while piece := await self._piece(len(body)):
                body += piece
            return bytes(body)
        finally:
            body.clear()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The body in pieces, as they come."""
        read_bytes = 0
        while piece := await self._piece(read_bytes):
            read_bytes += len(piece)
            yield piece

    async def aclose(self) -> None:
        """Give the connection back, closed when the body was not read to its end."""
        self.close()

    def close(self) -> None:
        """The same."""
        self._when_closed(self)
        self._response.close()

    def check_coding(self) -> None:
        """Refuse what would be handed on compressed, or unfold beyond the limit in one step."""
        check_codings(self._response.headers.getall("Content-Encoding", []))

    async def _piece(self, read_bytes: int) -> bytes:
        """What has come meanwhile; empty at the end."""
        try:
            piece = await self._response.content.readany()
        except _FAILURES as error:
            raise _translated(error) from error
        if read_bytes + len(piece) > self._max_body_bytes:
            raise ProtocolError(f"the body is longer than {self._max_body_bytes} bytes")
        return piece


@dataclass(frozen=True)
class _Route:
    """The proxy before a host, if there is one, and what is said to it."""

    proxy: URL | None = None
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    proxy_headers: dict[str, str] = field(default_factory=dict, repr=False)


def _client_timeout(timeouts: lm15.Timeouts | None) -> aiohttp.ClientTimeout:
    """A timer for each read costs CPU, so it is armed only for those who asked for one."""
    if timeouts is None:
        return aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS)
    waiting = None if timeouts.pool is None else timeouts.pool + timeouts.connect
    return aiohttp.ClientTimeout(
        total=None, connect=waiting, sock_connect=timeouts.connect, sock_read=timeouts.read
    )


def _translated(error: BaseException) -> TransportError:
    return TransportError(f"{type(error).__name__}: {error}")
