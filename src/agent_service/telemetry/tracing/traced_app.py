"""The server's span of each HTTP request, below the caller's when it sends a W3C trace context."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping

    from agent_service.telemetry.tracing.spans import Spans

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

SERVER = "server"
"""Operation of these spans; what was answered is told by ``HttpRequestFinished``."""

_UNTRACED = frozenset(f"/api/v1/{name}" for name in ("live", "ready", "health", "metrics"))
"""Asked by machines every few seconds."""

_HEADERS = (b"traceparent", b"tracestate")


class TracedApp:
    """An ASGI app around another one; within, the request's span is the current one.

    Args:
        app: what answers.
        spans: makes the spans.
    """

    def __init__(self, app: App, *, spans: Spans) -> None:
        self._app = app
        self._spans = spans

    def __repr__(self) -> str:
        return f"<TracedApp {self._app!r}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; probes, scrapes and other kinds of connection pass through."""
        if scope["type"] != "http" or scope["path"] in _UNTRACED:
            await self._app(scope, receive, send)
            return
        headers = scope["headers"] if self._spans.options.propagates else ()
        span = self._spans.open(
            "HTTP",
            operation=SERVER,
            attributes={"url.scheme": scope["scheme"]},
            kind=SpanKind.SERVER,
            parent=_context_in(headers),
        )
        try:
            await self._app(scope, receive, send)
        finally:
            span.end()


def _context_in(headers: Iterable[tuple[bytes, bytes]]) -> Context:
    """The caller's context; none when it is not valid, or there twice (W3C Trace Context, section 3.2)."""
    carrier: dict[str, str] = {}
    for name, value in headers:
        if name in _HEADERS:
            key, text = name.decode(), value.decode("latin-1")
            carrier[key] = f"{carrier[key]},{text}" if key in carrier else text
    return TraceContextTextMapPropagator().extract(carrier, context=Context())
