"""The HTTP client to language models: aiohttp, as the transport of DSPy's native client (lm15).

Why aiohttp: ``docs/decisions``. What goes out is what lm15's own transport sends. No redirect is followed,
nothing is repeated, and no more of an answer is read than fits a limit: a provider, or whoever stands in
between, could otherwise fill the service's memory with one answer.
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

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from dspy import lm15
    from dspy._vendor.lm15.transports import TransportRequest

MAX_BODY_BYTES = 16 * 1024 * 1024
_MAX_HEAD_FIELD_BYTES = 64 * 1024
_CONNECT_SECONDS = 10.0
_IDLE_SECONDS = 50.0  # shorter than the minute after which common load balancers hang up

# Identity, because a compressed stream of events waits in a proxy until a window is full.
_HEADERS = {"User-Agent": "lm15/stdlib", "Accept": "*/*", "Accept-Encoding": "identity"}
_CODINGS = {"", "identity", "gzip", "deflate"}

# ValueError: an address or a header, a key with a line feed say, that cannot be sent.
_FAILURES = (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError)


class HttpTransport:
    """What ``lm15.RouterConfig(transport=...)`` takes. Belongs to the loop that first uses it.

    Proxies come from the environment (``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY``), private
    authorities from ``SSL_CERT_FILE``; the environment is read once for each host.

    Args:
        timeouts: waits that the author of an LM chose; else only connecting has a limit here, 10 s, and the
            caller limits the whole call.
        max_connections: connections at once; a call waits for one to be free.
        max_body_bytes: longest body of an answer, after decompression, errors included.
    """

    def __init__(
        self,
        *,
        timeouts: lm15.Timeouts | None = None,
        max_connections: int,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._timeout = _client_timeout(timeouts)
        self._max_connections = max_connections
        self._max_body_bytes = max_body_bytes
        self._session: aiohttp.ClientSession | None = None
        self._routes: dict[tuple[str, str | None], _Route] = {}
        self._replies: set[HttpReply] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"<HttpTransport {self._max_connections} connections, {self._max_body_bytes} B>"

    def stream(self, request: TransportRequest) -> _Exchange:
        """Send ``request`` on entering; the connection is closed, not reused, when the body is left unread.

        Raises:
            TransportError: here or while reading, when there is no whole answer; a ``ProtocolError`` for a
                body that is too long or compressed in a way that is not undone. The client makes them a
                ``dspy.lm15.TransportError``.
        """
        return _Exchange(self, request)

    async def aclose(self) -> None:
        """Close the connections, those in use too."""
        self._closed = True
        for reply in list(self._replies):
            reply.close()  # the session would close its connection and leave its reader waiting
        if self._session is not None:
            await self._session.close()

    async def begin(self, request: TransportRequest) -> HttpReply:
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
        reply = HttpReply(response, self._max_body_bytes, when_closed=self._replies.discard)
        self._replies.add(reply)
        return reply

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise TransportError("the transport is closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections, keepalive_timeout=_IDLE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=_HEADERS,
                timeout=self._timeout,
                max_line_size=_MAX_HEAD_FIELD_BYTES,
                max_field_size=_MAX_HEAD_FIELD_BYTES,
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


class HttpReply(AsyncTransportResponse):
    """An answer whose head is here; the body is read once, whole or in pieces."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        max_body_bytes: int,
        *,
        when_closed: Callable[[HttpReply], None],
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
        codings = self._response.headers.getall("Content-Encoding", [])
        if codings and (len(codings) > 1 or codings[0].strip().lower() not in _CODINGS):
            raise ProtocolError("the body is compressed more than once, or in a way that was not asked for")

    async def _piece(self, read_bytes: int) -> bytes:
        """What has come meanwhile; empty at the end."""
        try:
            piece = await self._response.content.readany()
        except _FAILURES as error:
            raise _translated(error) from error
        if read_bytes + len(piece) > self._max_body_bytes:
            raise ProtocolError(f"the body is longer than {self._max_body_bytes} bytes")
        return piece


class _Exchange:
    """One request and its answer; a class, because a generator costs more than the rest of it."""

    __slots__ = ("_reply", "_request", "_transport")

    def __init__(self, transport: HttpTransport, request: TransportRequest) -> None:
        self._transport = transport
        self._request = request
        self._reply: HttpReply | None = None

    async def __aenter__(self) -> HttpReply:
        reply = self._reply = await self._transport.begin(self._request)
        try:
            reply.check_coding()
        except ProtocolError:
            reply.close()
            raise
        return reply

    async def __aexit__(self, *_: object) -> None:
        if self._reply is not None:
            self._reply.close()


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
