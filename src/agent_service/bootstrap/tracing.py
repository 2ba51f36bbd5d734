"""The composition root's part for traces. Their libraries take long to import, so only when they are on."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_service import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from starlette.types import ASGIApp

    from agent_service.config import Settings
    from agent_service.core.clock import Clock
    from agent_service.core.messages import Query
    from agent_service.core.observer import Observer, Observers
    from agent_service.programs.base import ProgramSpec


@dataclass(frozen=True)
class Traces:
    """What the others take of tracing; nothing when it is off.

    Attributes:
        begin: makes a listener for each run.
        app: puts a span around each request.
        running: within, spans are sent.
    """

    begin: Callable[[Query, ProgramSpec], Observer] | None = None
    app: Callable[[ASGIApp], ASGIApp] = lambda app: app
    running: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext


def import_tracing() -> None:
    """Import what tracing needs, for processes that are forked from this one."""
    from agent_service.telemetry.tracing import export, tracing  # noqa: F401, PLC0415 - for the import's sake


def build_tracing(settings: Settings, *, clock: Clock, observers: Observers) -> Traces:
    """Wire the traces that the settings ask for."""
    if not settings.is_traced:
        return Traces()
    from agent_service.telemetry.tracing.export import TraceExport  # noqa: PLC0415 - takes long to import
    from agent_service.telemetry.tracing.spans import SpanOptions, Spans  # noqa: PLC0415 - the same
    from agent_service.telemetry.tracing.tracing import Tracing  # noqa: PLC0415 - the same

    options = SpanOptions(captures_content=settings.traces_hold_content, propagates=settings.traces_propagate)
    export = TraceExport(version=__version__, observer=observers, clock=clock)
    tracing = Tracing(Spans(export.tracer(), clock=clock, options=options))
    observers.add(tracing)
    return Traces(begin=tracing.begin, app=tracing.app, running=export.running)
