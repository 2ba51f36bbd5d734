"""Gauges of each language model's upstream, read when they are scraped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prometheus_client import Metric


class UpstreamNumbers(Protocol):
    """What the gauges read of one upstream."""

    @property
    def model(self) -> str:
        """The label: a model from the settings or the program."""

    @property
    def limit(self) -> float:
        """Calls that may be in flight now."""

    @property
    def in_flight(self) -> int:
        """Calls that are."""

    @property
    def waiting(self) -> int:
        """Calls that wait until they may."""

    @property
    def retry_budget(self) -> float:
        """Retries that are left."""


class UpstreamGauges(Collector):
    """One series for each model; upstreams of the same model, at several addresses say, are added up."""

    def __init__(self, read: Callable[[], Sequence[UpstreamNumbers]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Read the upstreams once, for all gauges."""
        limit = _gauge("agent_lm_concurrency_limit", "Calls of the language model that may be in flight now.")
        in_flight = _gauge("agent_lm_in_flight", "Calls of the language model in flight.")
        waiting = _gauge("agent_lm_waiting", "Calls that wait because the concurrency limit is reached.")
        budget = _gauge("agent_lm_retry_budget", "Retries of calls of the language model that are left.")
        upstreams = self._read()
        for model in dict.fromkeys(upstream.model for upstream in upstreams):
            same = [upstream for upstream in upstreams if upstream.model == model]
            limit.add_metric([model], sum(upstream.limit for upstream in same))
            in_flight.add_metric([model], sum(upstream.in_flight for upstream in same))
            waiting.add_metric([model], sum(upstream.waiting for upstream in same))
            budget.add_metric([model], sum(upstream.retry_budget for upstream in same))
        return limit, in_flight, waiting, budget


def _gauge(name: str, meaning: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, labels=["model"])
