from __future__ import annotations

import json
import math

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from agent_service.telemetry.snapshot import exposition_of, snapshot_of


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("queries_total", 'All\n"queries".', ["status"], registry=registry).labels("a\nb").inc(3)
    Histogram("latency_seconds", "Time.", registry=registry, buckets=(0.1, 1)).observe(0.5)
    Gauge("lag_seconds", "Lag.", registry=registry).set(math.inf)
    return registry


def test_what_was_told_as_json_is_exposed_as_it_was() -> None:
    """Names, types, help, labels, buckets and values survive the way."""
    registry = _registry()
    told = json.loads(json.dumps(snapshot_of(registry.collect())))
    text, content_type = exposition_of(told)
    assert text == generate_latest(registry)
    assert content_type.startswith("text/plain; version=0.0.4")


def test_exemplars_survive_the_way() -> None:
    """They lead to a trace whichever process is asked."""
    registry = CollectorRegistry()
    latency = Histogram("latency_seconds", "Time.", registry=registry, buckets=(0.1, 1))
    latency.observe(0.5, {"trace_id": "abc"})
    told = json.loads(json.dumps(snapshot_of(registry.collect())))
    text, _ = exposition_of(told, "application/openmetrics-text")
    assert b'latency_seconds_bucket{le="1.0"} 1.0 # {trace_id="abc"} 0.5 ' in text


def test_each_family_says_how_it_is_merged() -> None:
    """Slots and counts are added up; of states and ages the one that matters counts."""
    registry = CollectorRegistry()
    for name in (
        "agent_pool_size",
        "circuit_breaker_state",
        "agent_event_loop_lag_seconds",
        "agent_program_version_share",
    ):
        Gauge(name, "It.", registry=registry)
    merges = {family["name"]: family["merge"] for family in snapshot_of(registry.collect())["families"]}
    assert merges == {
        "agent_pool_size": "sum",
        "circuit_breaker_state": "worst_breaker",
        "agent_event_loop_lag_seconds": "max",
        "agent_program_version_share": "max",
    }
