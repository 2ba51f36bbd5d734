"""Prometheus metrics, fed by the core's events. Names and labels are public: see docs/operations.md."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector
from prometheus_client.registry import Collector

from agent_service.telemetry.counting import Counting
from agent_service.telemetry.counting_versions import CountingVersions
from agent_service.telemetry.exposition import written
from agent_service.telemetry.upstream_gauges import UpstreamGauges
from agent_service.telemetry.version_gauge import VersionGauge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prometheus_client import Metric

    from agent_service.core.observer import Event
    from agent_service.telemetry.upstream_gauges import UpstreamNumbers
    from agent_service.telemetry.version_gauge import Share

BREAKER_STATES = {"closed": 0, "open": 1, "half_open": 2}


class Metrics:
    """Counts what it hears and writes it down for Prometheus. Safe on any thread.

    Two counters tell of failures, and none counts twice: ``agent_requests_total`` counts queries as they
    end; ``agent_errors_total`` counts the problems answered over HTTP, whatever the request was, and the
    queries whose caller left, which nobody was answered.

    Args:
        pool_size: slots of the pool, read at each scrape; so are the next five.
        pool_in_use: slots that are taken.
        pool_waiting: queries that wait for a slot.
        pool_abandoned: slots held by work whose caller was answered.
        breaker_state: ``closed``, ``open`` or ``half_open``.
        upstreams: the numbers of each language model.
        version: this service's version.
        dspy_version: DSPy's version.
        versions: which versions of programs answer, read at each scrape; series of the first begin at zero.
        models: models known from the start; their series begin at zero.
        tools: tools known from the start; their series begin at zero.
    """

    def __init__(
        self,
        *,
        pool_size: Callable[[], int],
        pool_in_use: Callable[[], int],
        pool_waiting: Callable[[], int],
        pool_abandoned: Callable[[], int],
        breaker_state: Callable[[], str],
        upstreams: Callable[[], Sequence[UpstreamNumbers]],
        version: str,
        dspy_version: str,
        versions: Callable[[], Sequence[Share]] = tuple,
        models: Iterable[str] = (),
        tools: Iterable[str] = (),
    ) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._counting = Counting(self._registry, models=models, tools=tools)
        self._counting_versions = CountingVersions(self._registry, versions=versions())
        self._gauge("agent_pool_size", "Queries that may run at once in this process.", pool_size)
        self._gauge("agent_pool_in_use", "Queries that run now.", pool_in_use)
        self._gauge("agent_pool_waiting", "Queries that wait for a slot.", pool_waiting)
        self._gauge("agent_pool_abandoned", "Slots of work whose caller was answered.", pool_abandoned)
        self._gauge(
            "circuit_breaker_state",
            "Circuit breaker of the language model: 0 closed, 1 open, 2 half-open.",
            lambda: BREAKER_STATES[breaker_state()],
        )
        self._gauge("agent_workers", "Processes that serve.", lambda: 1)
        self._registry.register(UpstreamGauges(upstreams))
        self._registry.register(VersionGauge(versions))
        self._info(version=version, python=platform.python_version(), dspy=dspy_version)

    def __repr__(self) -> str:
        return f"<Metrics {', '.join(self.names())}>"

    def names(self) -> tuple[str, ...]:
        """Every name of ours that is exposed, in order; counters with their ``_total``."""
        families = [family for family in self._registry.collect() if not family.name.startswith("process_")]
        return tuple(
            f"{family.name}_total" if family.type == "counter" else family.name for family in families
        )

    def expose(self, accept: str = "") -> tuple[bytes, str]:
        """The exposition and its content type; see ``written``."""
        return written(_WithoutCreated(self._registry), accept)

    def families(self) -> list[Metric]:
        """What ``expose`` writes down."""
        return list(_WithoutCreated(self._registry).collect())

    def observe(self, event: Event) -> None:
        """Count ``event``; kinds that no metric tells of are passed over."""
        self._counting.observe(event)
        self._counting_versions.observe(event)

    def _gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        Gauge(name, meaning, registry=self._registry).set_function(read)

    def _info(self, **labels: str) -> None:
        info = Gauge("agent_build_info", "What runs here; always 1.", tuple(labels), registry=self._registry)
        info.labels(**labels).set(1)


class _WithoutCreated(Collector):
    """A registry without its ``_created`` series, which double the exposition and answer no question."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
