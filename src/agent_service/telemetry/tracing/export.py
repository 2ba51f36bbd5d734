"""The way of spans to their receiver: batches, in a thread of their own, never in the way of a query."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from agent_service.core.clock import wait_at_most
from agent_service.core.observer import TraceSpansLost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Tracer

    from agent_service.core.clock import Clock
    from agent_service.core.observer import Observer

_log = logging.getLogger(__name__)

FLUSH_SECONDS = 3.0
"""For the last spans, when the service stops."""


class TraceExport:
    """Sends spans over OTLP. Where to, how many and how is in OpenTelemetry's own variables.

    The first one of a process is what programs and tools get that make spans of their own.

    Args:
        version: this service's version.
        observer: told of spans that are lost.
        clock: limits the last flush.
    """

    def __init__(self, *, version: str, observer: Observer, clock: Clock) -> None:
        self._provider = TracerProvider(resource=_resource(version), shutdown_on_exit=False)
        self._version = version
        self._observer = observer
        self._clock = clock
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            trace.set_tracer_provider(self._provider)

    def __repr__(self) -> str:
        return f"<TraceExport {self._version}>"

    def tracer(self) -> Tracer:
        """Makes the service's spans."""
        return self._provider.get_tracer("agent_service", self._version)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Within, spans are sent, from the process that entered; at the end what is left, within 3 s."""
        exporter = TellingExporter(OTLPSpanExporter(), observer=self._observer)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        try:
            yield
        finally:
            if not await wait_at_most(self._clock, FLUSH_SECONDS, self._flushed()):
                _log.warning("the last traces could not be exported in time")

    def _flushed(self) -> asyncio.Future[None]:
        """Done when everything is sent or given up. The thread does not hold up the exit."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def tell() -> None:
            if not done.done():
                done.set_result(None)

        def flush() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(tell)

        threading.Thread(target=flush, name="trace-flush", daemon=True).start()
        return done


class TellingExporter(SpanExporter):
    """An exporter whose failures are told: each to the observer, the first of a row in the log.

    Args:
        exporter: does the work.
        observer: told of each batch that is lost.
    """

    def __init__(self, exporter: SpanExporter, *, observer: Observer) -> None:
        self._exporter = exporter
        self._observer = observer
        self._is_failing = False

    def __repr__(self) -> str:
        return f"<TellingExporter{' failing' if self._is_failing else ''}>"

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; called by one thread at a time."""
        try:
            result = self._exporter.export(spans)
        except Exception:  # noqa: BLE001 - whatever it is, traces are no reason to fail
            result = SpanExportResult.FAILURE
        is_failing = result is not SpanExportResult.SUCCESS
        if is_failing:
            self._observer.observe(TraceSpansLost("", len(spans)))
        if is_failing and not self._is_failing:
            _log.warning(
                "traces cannot be exported and are dropped; queries go on. "
                "LOG_LEVEL=info,opentelemetry.exporter=debug tells why"
            )
        elif self._is_failing and not is_failing:
            _log.info("traces are exported again")
        self._is_failing = is_failing
        return result

    def shutdown(self) -> None:
        """Give up what is under way."""
        self._exporter.shutdown()


def _resource(version: str) -> Resource:
    """Who sends: what OpenTelemetry's variables say comes before what is said here."""
    named = OTELResourceDetector().detect().attributes
    return Resource.create({"service.name": "agent-service", "service.version": version, **named})
