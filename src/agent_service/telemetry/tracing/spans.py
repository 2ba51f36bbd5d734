"""Spans that are current while they are open, to OpenTelemetry and to this service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry import context as otel_context
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from agent_service.core.trace import TRACE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer
    from opentelemetry.util.types import AttributeValue

    from agent_service.core.clock import Clock

_NANOSECONDS = 1_000_000_000
_FAILED = Status(StatusCode.ERROR)


@dataclass(frozen=True, slots=True)
class SpanOptions:
    """What spans hold and where they are told.

    Attributes:
        captures_content: prompts, answers and tools' arguments are kept.
        propagates: the context goes in and out with W3C's headers.
    """

    captures_content: bool = False
    propagates: bool = True


class OpenSpan:
    """A span that is the current one from its making until ``end``, which has to be in the same context."""

    __slots__ = ("_attached", "_options", "_token", "operation", "span")

    def __init__(self, span: Span, operation: str, *, parent: Context | None, options: SpanOptions) -> None:
        self.span = span
        self.operation = operation
        self._options = options
        self._attached = otel_context.attach(set_span_in_context(span, parent))
        self._token = TRACE.set(self)

    def __repr__(self) -> str:
        return f"<OpenSpan {self.operation} {self.trace_id} {self.span_id}>"

    @property
    def trace_id(self) -> str:
        """See ``Trace``."""
        return format(self.span.get_span_context().trace_id, "032x")

    @property
    def span_id(self) -> str:
        """See ``Trace``."""
        return format(self.span.get_span_context().span_id, "016x")

    @property
    def is_sampled(self) -> bool:
        """See ``Trace``."""
        return self.span.get_span_context().trace_flags.sampled

    @property
    def wants_content(self) -> bool:
        """See ``Trace``; nobody sees what an unsampled span would keep."""
        return self._options.captures_content and self.span.is_recording()

    def headers_to(self, host: str, port: int) -> Sequence[tuple[str, str]]:
        """See ``Trace``."""
        self.span.set_attributes({"server.address": host, "server.port": port})
        if not self._options.propagates:
            return ()
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier, set_span_in_context(self.span))
        return tuple(carrier.items())

    def fail(self, kind: str) -> None:
        """Mark the work as failed; ``kind`` is one of a closed set."""
        fail(self.span, kind)

    def end(self) -> None:
        """The work is over; what was current before is current again."""
        self.span.end()
        TRACE.reset(self._token)
        otel_context.detach(self._attached)


class Spans:
    """Makes spans.

    Args:
        tracer: whose they are.
        clock: says when a span ended that is made afterwards.
        options: what they hold.
    """

    def __init__(self, tracer: Tracer, *, clock: Clock, options: SpanOptions) -> None:
        self.options = options
        self._tracer = tracer
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Spans {self.options}>"

    def open(
        self,
        name: str,
        *,
        operation: str,
        attributes: Mapping[str, AttributeValue],
        kind: SpanKind = SpanKind.INTERNAL,
        parent: Context | None = None,
    ) -> OpenSpan:
        """A span that begins now; below the current one when ``parent`` is None."""
        span = self._tracer.start_span(name, context=parent, kind=kind, attributes=attributes)
        return OpenSpan(span, operation, parent=parent, options=self.options)

    def tell(
        self, name: str, *, attributes: Mapping[str, AttributeValue], seconds: float, failure: str | None
    ) -> None:
        """A call to another system that took ``seconds`` and has just ended, below the current span."""
        end = int(self._clock.wall() * _NANOSECONDS)
        start = end - int(seconds * _NANOSECONDS)
        span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes, start_time=start)
        if failure is not None:
            fail(span, failure)
        span.end(end)


def fail(span: Span, kind: str) -> None:
    """Mark the span's work as failed; the text of an error may hold a prompt and is left out."""
    span.set_attribute("error.type", kind)
    span.set_status(_FAILED)
