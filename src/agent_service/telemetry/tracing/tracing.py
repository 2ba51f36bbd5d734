"""The listener that makes spans of what happens; see docs/operations.md for their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.core.observer import Event, HttpRequestFinished, StoreOperationFinished
from agent_service.core.trace import TRACE
from agent_service.telemetry.tracing.run_spans import RunSpans
from agent_service.telemetry.tracing.spans import OpenSpan
from agent_service.telemetry.tracing.traced_app import SERVER, TracedApp

if TYPE_CHECKING:
    from agent_service.core.messages import Query
    from agent_service.programs.base import ProgramSpec
    from agent_service.telemetry.tracing.genai import Attributes
    from agent_service.telemetry.tracing.spans import Spans
    from agent_service.telemetry.tracing.traced_app import App

_CLIENT_ERROR, _SERVER_ERROR = 400, 500


class Tracing:
    """Spans of requests and of the conversation store's operations, and for each run a listener of its own.

    Args:
        spans: makes them.
    """

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    def __repr__(self) -> str:
        return f"<Tracing {self._spans!r}>"

    def app(self, app: App) -> TracedApp:
        """``app`` with a span for each request."""
        return TracedApp(app, spans=self._spans)

    def begin(self, query: Query, program: ProgramSpec) -> RunSpans:
        """Who listens to the run of ``query``, which begins in the calling context."""
        return RunSpans(self._spans, query, program)

    def observe(self, event: Event) -> None:
        """Complete the request's span, or tell of an operation of the store; both in its context."""
        if isinstance(event, HttpRequestFinished):
            _complete(event)
        elif isinstance(event, StoreOperationFinished) and TRACE.get() is not None:
            attributes = {"db.system.name": event.backend, "db.operation.name": event.operation}
            self._spans.tell(
                f"memory {event.operation}",
                attributes=attributes,
                seconds=event.latency_seconds,
                failure=None if event.outcome == "success" else event.outcome,
            )


def _complete(event: HttpRequestFinished) -> None:
    trace = TRACE.get()
    if not isinstance(trace, OpenSpan) or trace.operation != SERVER:
        return
    method = "_OTHER" if event.method == "OTHER" else event.method
    attributes: Attributes = {
        "http.request.method": method,
        "http.response.status_code": event.status,
        "agent_service.request_id": event.request_id,
    }
    name = "HTTP" if method == "_OTHER" else method
    if event.route != "unmatched":
        attributes |= {"http.route": event.route, "url.path": event.route}
        name = f"{name} {event.route}"
    trace.span.update_name(name)
    trace.span.set_attributes(attributes)
    if event.status >= _SERVER_ERROR or (event.error is not None and event.status < _CLIENT_ERROR):
        trace.fail(event.error or str(event.status))
    elif event.error is not None:
        trace.span.set_attribute("error.type", event.error)
