"""Which format of metrics a reader gets."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from agent_service.telemetry.exposition import written

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    latency = Histogram("latency_seconds", "Time.", registry=registry, buckets=(0.1, 1))
    latency.observe(0.5, {"trace_id": "abc"})
    return registry


@pytest.mark.parametrize("accept", ["", "*/*", "text/html", "text/plain;version=0.0.4"])
def test_the_plain_format_is_for_everybody(accept: str) -> None:
    """It has no exemplars, and readers that know none do not stumble over them."""
    text, content_type = written(_registry(), accept)
    assert content_type.startswith("text/plain; version=0.0.4")
    assert b"abc" not in text


@pytest.mark.parametrize("accept", ["application/openmetrics-text", PROMETHEUS_3])
def test_who_asks_for_openmetrics_gets_the_exemplars_too(accept: str) -> None:
    """As Prometheus does; whole, up to the mark of its end."""
    text, content_type = written(_registry(), accept)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    families = list(text_string_to_metric_families(text.decode()))  # type: ignore[no-untyped-call] # it has no types
    (family,) = (one for one in families if one.type == "histogram")
    exemplars = {sample.labels["le"]: sample.exemplar for sample in family.samples if "le" in sample.labels}
    assert exemplars["0.1"] is None
    assert exemplars["1.0"] is not None
    assert exemplars["1.0"].labels == {"trace_id": "abc"}
