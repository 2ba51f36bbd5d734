"""A tracer whose spans stay here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased

from agent_service.core.trace import TRACE
from agent_service.telemetry.tracing.spans import SpanOptions, Spans
from agent_service.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan


class Traced:
    """Spans and what became of them."""

    def __init__(self, *, sampled: bool = True, **options: bool) -> None:
        self.clock = FakeClock()
        self._kept = InMemorySpanExporter()
        provider = TracerProvider(
            sampler=ParentBased(ALWAYS_ON if sampled else ALWAYS_OFF), shutdown_on_exit=False
        )
        provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self.spans = Spans(provider.get_tracer("test"), clock=self.clock, options=SpanOptions(**options))

    @property
    def ended(self) -> tuple[ReadableSpan, ...]:
        """In the order in which they ended."""
        return self._kept.get_finished_spans()

    def named(self, name: str) -> ReadableSpan:
        """The only ended span of that name."""
        (found,) = (span for span in self.ended if span.name == name)
        return found

    def facts(self, name: str) -> dict[str, Any]:
        """Its attributes."""
        return dict(self.named(name).attributes or {})


def parent_of(span: ReadableSpan) -> str:
    """The id of the span above it, empty when there is none."""
    return "" if span.parent is None else format(span.parent.span_id, "016x")


def id_of(span: ReadableSpan) -> str:
    """Its own."""
    assert span.context is not None
    return format(span.context.span_id, "016x")


@pytest.fixture(autouse=True)
def outside_of_traces() -> Iterator[None]:
    """What one test leaves open is not there in the next."""
    trace, context = TRACE.set(None), otel_context.attach(otel_context.Context())
    yield
    TRACE.reset(trace)
    otel_context.detach(context)


@pytest.fixture
def traced() -> Traced:
    """Everything is sampled, nothing of what is said is kept."""
    return Traced()
