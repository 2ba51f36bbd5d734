"""Counts how queries end by version of their program, and what becomes of new versions."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from prometheus_client import Counter

from agent_service.core.observer import QueryFinished, ReleaseRefused, ReleaseRolledBack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import CollectorRegistry

    from agent_service.core.observer import Event
    from agent_service.telemetry.version_gauge import Share

_OUTCOMES = ("success", "failure", "excused")


class CountingVersions:
    """Counts what it hears, in metrics that it declares. Safe on any thread.

    Versions are as many as there were releases to ask since the start.

    Args:
        registry: gets the metrics.
        versions: which versions answer at the start; their series begin at zero.
    """

    def __init__(self, registry: CollectorRegistry, *, versions: Iterable[Share] = ()) -> None:
        self._queries = cache(
            Counter(
                "agent_program_queries_total",
                "Queries that ended, by the version of the program.",
                ("program", "version", "outcome"),
                registry=registry,
            ).labels
        )
        self._rollbacks = Counter(
            "agent_release_rollbacks_total",
            "Versions that failed more often than the one before, and were taken back.",
            ("program",),
            registry=registry,
        )
        self._refusals = Counter(
            "agent_release_refusals_total",
            "Versions that were to answer and cannot be served.",
            ("program",),
            registry=registry,
        )
        for each in versions:
            self._rollbacks.labels(each.program)
            self._refusals.labels(each.program)
            for outcome in _OUTCOMES:
                self._queries(each.program, each.version, outcome)

    def __repr__(self) -> str:
        return "<CountingVersions>"

    def observe(self, event: Event) -> None:
        """Count ``event``; kinds that no metric tells of are passed over."""
        if isinstance(event, QueryFinished):
            self._queries(event.program, event.version, _outcome(event)).inc()
        elif isinstance(event, ReleaseRolledBack):
            self._rollbacks.labels(event.program).inc()
        elif isinstance(event, ReleaseRefused):
            self._refusals.labels(event.program).inc()


def _outcome(event: QueryFinished) -> str:
    """``excused`` is what says nothing of the program."""
    if event.code is None:
        return "success"
    return "failure" if event.may_blame_program else "excused"
