"""Summaries for the tests of reports."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent_service.loadtest.load import ClosedLoop
from agent_service.loadtest.samples import Summary

if TYPE_CHECKING:
    from agent_service.loadtest.load import Load

_PLAIN = Summary(
    server="service",
    load=ClosedLoop(8),
    queries=100,
    answered=100,
    errors={},
    round_throughputs=(90.0, 110.0),
    throughput=100.0,
    latencies_seconds={50: 0.01, 90: 0.02, 95: 0.03, 99: 0.04, 100: 1.5},
    cpu_seconds_per_query=0.002,
    cores_busy=0.5,
    rss_bytes=(100_000_000, 110_000_000),
    lm_calls=300,
    generator_busy=0.1,
    model_busy=0.2,
)


def summary(server: str = "service", load: Load | None = None, **different: Any) -> Summary:
    """A plain one, except for what is different."""
    return replace(_PLAIN, server=server, load=load or _PLAIN.load, **different)
