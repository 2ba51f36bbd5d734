"""What is current while a span is open, what goes out with requests, and spans made afterwards."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from agent_service.core.trace import TRACE
from agent_service.telemetry.tracing.spans import SpanOptions
from tests.telemetry.tracing.conftest import Traced, id_of, parent_of

SAMPLED = 1
"""The flag of the header's last two digits (W3C Trace Context, section 3.2.2.5)."""


def test_an_open_span_is_the_current_one_until_it_ends(traced: Traced) -> None:
    """To OpenTelemetry, so that spans of programs are below it, and to this service's own parts."""
    outer = traced.spans.open("outer", operation="a", attributes={})
    inner = traced.spans.open("inner", operation="b", attributes={"kind": "x"})
    assert TRACE.get() is inner
    assert trace.get_current_span() is inner.span
    inner.end()
    assert TRACE.get() is outer
    outer.end()
    assert TRACE.get() is None
    assert not trace.get_current_span().get_span_context().is_valid
    assert parent_of(traced.named("inner")) == id_of(traced.named("outer")) == outer.span_id
    assert traced.facts("inner") == {"kind": "x"}
    assert len(outer.trace_id) == 32
    assert inner.trace_id == outer.trace_id


def test_the_context_goes_out_with_a_request_and_the_server_is_noted(traced: Traced) -> None:
    """As W3C's header; the ids are those of the span that makes the call."""
    call = traced.spans.open("chat", operation="chat", attributes={})
    headers = call.headers_to("api.example.com", 443)
    call.end()
    ((name, value),) = headers
    assert name == "traceparent"
    assert value.startswith(f"00-{call.trace_id}-{call.span_id}-")
    assert int(value[-2:], 16) & SAMPLED
    assert traced.facts("chat") == {"server.address": "api.example.com", "server.port": 443}


def test_nothing_goes_out_when_it_is_not_to_be_propagated() -> None:
    """OTEL_PROPAGATORS=none: a provider learns nothing of the trace."""
    call = Traced(propagates=False).spans.open("chat", operation="chat", attributes={})
    assert call.headers_to("api.example.com", 443) == ()
    call.end()


def test_the_caller_s_decision_not_to_sample_goes_on() -> None:
    """The id is still there, for logs; nobody else is asked to keep the trace either."""
    traced = Traced(sampled=False, captures_content=True)
    call = traced.spans.open("chat", operation="chat", attributes={})
    ((_, value),) = call.headers_to("api.example.com", 443)
    assert not int(value[-2:], 16) & SAMPLED
    assert not call.is_sampled
    assert not call.wants_content
    call.end()
    assert traced.ended == ()


@pytest.mark.parametrize("captures", [True, False])
def test_content_is_wanted_when_it_was_asked_for(captures: bool) -> None:
    """By nobody else than the operator."""
    traced = Traced(captures_content=captures)
    span = traced.spans.open("chat", operation="chat", attributes={})
    assert span.wants_content is captures
    assert traced.spans.options == SpanOptions(captures_content=captures)
    span.end()


def test_what_has_just_ended_is_told_with_its_time(traced: Traced) -> None:
    """A call to another system: below the current span, as long as it took, failed or not."""
    outer = traced.spans.open("outer", operation="a", attributes={})
    traced.spans.tell("memory read", attributes={"db.operation.name": "read"}, seconds=0.25, failure=None)
    traced.spans.tell("memory commit", attributes={}, seconds=0.0, failure="timeout")
    outer.end()
    read, commit = traced.named("memory read"), traced.named("memory commit")
    assert read.kind is SpanKind.CLIENT
    assert read.end_time is not None
    assert read.start_time is not None
    assert read.end_time - read.start_time == 250_000_000
    assert parent_of(read) == outer.span_id
    assert read.status.status_code is StatusCode.UNSET
    assert commit.status.status_code is StatusCode.ERROR
    assert traced.facts("memory commit") == {"error.type": "timeout"}
