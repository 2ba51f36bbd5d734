"""The way of spans to a receiver that is slow, gone or well."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from agent_service.core.observer import TraceSpansLost
from agent_service.telemetry.tracing.export import TellingExporter, TraceExport
from agent_service.testing import FakeClock, RecordingObserver

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest
    from opentelemetry.sdk.trace import ReadableSpan

BATCH: Sequence[ReadableSpan] = ()


class Receiver(SpanExporter):
    """Does with each batch what the test says."""

    def __init__(self, *results: SpanExportResult | Exception) -> None:
        self._results = list(results)
        self.is_shut_down = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    def shutdown(self) -> None:
        self.is_shut_down = True


def test_batches_that_are_lost_are_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A receiver that is gone for a day makes one line, and one when it is back."""
    caplog.set_level("INFO")
    failure, success = SpanExportResult.FAILURE, SpanExportResult.SUCCESS
    receiver = Receiver(failure, OSError("no route"), success, success, failure)
    observer = RecordingObserver()
    exporter = TellingExporter(receiver, observer=observer)
    results = [exporter.export([*BATCH, *[None] * 3]) for _ in range(5)]  # type: ignore[list-item] # only counted
    assert results == [failure, failure, success, success, failure]
    assert observer.events == [TraceSpansLost("", 3)] * 3
    told = [record.getMessage().partition(" ")[2].split(";")[0] for record in caplog.records]
    assert told == ["cannot be exported and are dropped", "are exported again", *told[:1]]
    assert "no route" not in caplog.text
    exporter.shutdown()
    assert receiver.is_shut_down


def test_the_resource_names_the_service_and_the_environment_comes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES are the operator's word."""

    def named() -> object:
        export = TraceExport(version="1.2", observer=RecordingObserver(), clock=FakeClock())
        resource = export.tracer().resource.attributes  # type: ignore[attr-defined] # of the SDK's tracer
        return resource["service.name"], resource["service.version"]

    assert named() == ("agent-service", "1.2")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "support")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.version=7,team=a")
    assert named() == ("support", "7")


async def test_the_last_spans_may_hold_up_the_end_for_a_bounded_time(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The clock is at that end at once, and the receiver never answers: the service stops all the same."""
    clock, asked, let_go = FakeClock(), threading.Event(), threading.Event()

    class Hanging(Receiver):
        def __init__(self) -> None:
            super().__init__()

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            asked.set()
            clock_loop.call_soon_threadsafe(clock.advance, 10.0)
            let_go.wait(30)
            return SpanExportResult.SUCCESS

    clock_loop = asyncio.get_running_loop()
    monkeypatch.setattr("agent_service.telemetry.tracing.export.OTLPSpanExporter", Hanging)
    export = TraceExport(version="1", observer=RecordingObserver(), clock=clock)
    async with export.running():
        export.tracer().start_span("last").end()
    assert asked.is_set()
    assert "could not be exported in time" in caplog.text
    let_go.set()
