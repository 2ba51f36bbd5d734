"""The span around a request, and the caller's trace."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.trace import SpanKind

from agent_service.core.trace import TRACE, Trace
from agent_service.telemetry.tracing.traced_app import TracedApp
from tests.telemetry.tracing.conftest import Traced, parent_of

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = (b"traceparent", f"00-{TRACE_ID}-{SPAN_ID}-01".encode())


async def served(traced: Traced, *headers: tuple[bytes, bytes], **scope: Any) -> Trace | None:
    """Where the app found itself."""
    found: list[Trace | None] = []

    async def app(*_: Any) -> None:
        found.append(TRACE.get())
        if scope.get("fails"):
            raise RuntimeError

    request = {"type": "http", "path": "/api/v1/query", "scheme": "http", "headers": headers, **scope}
    await TracedApp(app, spans=traced.spans)(request, _nothing, _nothing)
    return found[0]


async def _nothing(*_: Any) -> Any:
    return {}


async def test_a_request_is_served_within_a_span(traced: Traced) -> None:
    """It begins a trace when the caller sends none, and is over when the request is."""
    trace = await served(traced, (b"accept", b"*/*"))
    (span,) = traced.ended
    assert trace is not None
    assert span.kind is SpanKind.SERVER
    assert parent_of(span) == ""
    assert TRACE.get() is None


async def test_the_caller_s_trace_goes_on(traced: Traced) -> None:
    """Its span is the parent, and what its tracing system added comes along."""
    trace = await served(traced, PARENT, (b"tracestate", b"a=1"), (b"tracestate", b"b=2"))
    (span,) = traced.ended
    assert trace is not None
    assert trace.trace_id == TRACE_ID
    assert parent_of(span) == SPAN_ID
    assert span.context is not None
    assert span.context.trace_state.to_header() == "a=1,b=2"


async def test_a_trace_that_the_caller_does_not_keep_is_not_kept(traced: Traced) -> None:
    """Its id is in the logs all the same."""
    trace = await served(traced, (b"traceparent", f"00-{TRACE_ID}-{SPAN_ID}-00".encode()))
    assert trace is not None
    assert trace.trace_id == TRACE_ID
    assert traced.ended == ()


@pytest.mark.parametrize("headers", [[(b"traceparent", b"00-xyz\xff-01")], [PARENT, PARENT]])
async def test_a_context_that_is_none_is_passed_over(
    traced: Traced, headers: list[tuple[bytes, bytes]]
) -> None:
    """A trace of our own begins, whatever a caller sends."""
    trace = await served(traced, *headers)
    assert trace is not None
    assert trace.trace_id != TRACE_ID
    assert parent_of(traced.ended[0]) == ""


async def test_with_propagation_off_callers_are_not_heeded() -> None:
    """OTEL_PROPAGATORS=none: nobody from outside decides what is sampled."""
    trace = await served(Traced(propagates=False), PARENT)
    assert trace is not None
    assert trace.trace_id != TRACE_ID


@pytest.mark.parametrize(
    "scope", [{"path": "/api/v1/live"}, {"path": "/api/v1/metrics"}, {"type": "lifespan"}]
)
async def test_probes_scrapes_and_other_kinds_pass_through(traced: Traced, scope: dict[str, Any]) -> None:
    """They would bury the traces that somebody looks for."""
    assert await served(traced, **scope) is None
    assert traced.ended == ()


async def test_the_span_ends_when_the_app_fails(traced: Traced) -> None:
    """The connection is cut; the trace is whole."""
    with pytest.raises(RuntimeError):
        await served(traced, fails=True)
    assert len(traced.ended) == 1
    assert TRACE.get() is None
