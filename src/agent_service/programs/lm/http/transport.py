"""The HTTP client to language models, as the transport of DSPy's native client (lm15).

What is carried by whom, and why: ``docs/decisions``. What goes out is what lm15's own transport sends. No
redirect is followed, no cookie kept, and no more of an answer is read than fits a limit: a provider, or
whoever stands in between, could otherwise fill the service's memory with one answer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Union

from dspy._vendor.lm15.transports import ProtocolError, TransportError
from dspy._vendor.lm15.transports._proxy import proxy_route_for
from dspy._vendor.lm15.transports._url import parse_url

from agent_service.core.trace import TRACE
from agent_service.programs.lm.http.client import HttpClient
from agent_service.programs.lm.http.request_head import RequestHead

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from dspy import lm15
    from dspy._vendor.lm15.transports import TransportRequest

    from agent_service.core.trace import Trace
    from agent_service.programs.lm.http.answer import Answer
    from agent_service.programs.lm.http.library_client import LibraryAnswer, LibraryClient

    HttpReply = Union[Answer, LibraryAnswer]  # noqa: UP007 - Python 3.10 evaluates it

MAX_BODY_BYTES = 16 * 1024 * 1024


class HttpTransport:
    """What ``lm15.RouterConfig(transport=...)`` takes. Belongs to the loop that first uses it.

    Plain requests, made directly, go by a lean client; what needs a proxy of the environment or an LM's own
    waits, and requests of an unusual kind, by an HTTP library. That is decided once for each address.

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
        self._timeouts = timeouts
        self._max_connections = max_connections
        self._max_body_bytes = max_body_bytes
        self._client = HttpClient(max_connections=max_connections, max_body_bytes=max_body_bytes)
        self._library: LibraryClient | None = None
        self._head: RequestHead | None = None
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

    def begin(self, request: TransportRequest) -> Coroutine[None, None, HttpReply]:
        """Send ``request`` and wait for the head of the answer, which the caller closes."""
        head, trace = self._head, TRACE.get()
        if head is None or not head.fits(request):
            head = self._new_head(request)
            if head is None:
                traced = request if trace is None else _traced(request, trace)
                return self._library_client().begin(traced)
        if trace is not None:
            head = head.with_headers(trace.headers_to(head.origin.host, head.origin.port))
        return self._client.begin(head, request.body)

    async def aclose(self) -> None:
        """Close the connections, those in use too."""
        self._closed = True
        await self._client.aclose()
        if self._library is not None:
            await self._library.aclose()

    def _new_head(self, request: TransportRequest) -> RequestHead | None:
        """The head for requests like this; None for those that the library makes."""
        if self._closed:
            raise TransportError("the transport is closed")
        if self._timeouts is not None or not RequestHead.suits(request):
            return None
        try:
            if proxy_route_for(parse_url(request.url), proxy=None, trust_env=True) is not None:
                return None
            self._head = RequestHead.of(request)
        except ValueError as error:
            raise TransportError(f"{type(error).__name__}: {error}") from error
        return self._head

    def _library_client(self) -> LibraryClient:
        if self._library is None:
            from agent_service.programs.lm.http.library_client import (  # noqa: PLC0415 - a slow import
                LibraryClient,
            )

            self._library = LibraryClient(
                timeouts=self._timeouts,
                max_connections=self._max_connections,
                max_body_bytes=self._max_body_bytes,
            )
        return self._library


def _traced(request: TransportRequest, trace: Trace) -> TransportRequest:
    """The request with what its trace wants it to carry."""
    url = parse_url(request.url)
    return replace(request, headers=[*request.headers, *trace.headers_to(url.host, url.port)])


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
