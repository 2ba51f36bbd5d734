from __future__ import annotations

import json

from agent_service.loadtest.load import OpenLoop
from agent_service.loadtest.report_json import json_of
from tests.loadtest.summaries import summary


def test_it_has_all_figures_with_their_units() -> None:
    """What the text rounds is exact here."""
    told = json.loads(json.dumps(json_of([summary()], settings={"duration": 10.0})))
    (result,) = told["results"]
    assert told["settings"] == {"duration": 10.0}
    assert told["interrupted"] is False
    assert told["machine"]["cores"] >= 1
    assert (result["server"], result["load"], result["concurrency"]) == ("service", "closed", 8)
    assert result["latency_ms"] == {"p50": 10.0, "p90": 20.0, "p95": 30.0, "p99": 40.0, "max": 1500.0}
    assert result["cpu_ms_per_query"] == 2.0
    assert result["rss_bytes"] == {"before": 100_000_000, "after": 110_000_000}


def test_ratios_and_warnings_come_with_it() -> None:
    """Programs need not work them out again."""
    load = OpenLoop(50, "even")
    told = json_of(
        [summary(load=load, generator_busy=0.9), summary("acall", load, throughput=5.0)],
        settings={},
        interrupted=True,
    )
    (ratio,) = told["ratios"]
    assert (ratio["rate_per_second"], ratio["spacing"], ratio["baseline"]) == (50, "even", "acall")
    assert ratio["throughput"] == 20
    assert len(told["warnings"]) == 1
    assert told["interrupted"] is True


def test_what_is_not_known_is_null() -> None:
    """No figure is made up."""
    (result,) = json_of([summary(cpu_seconds_per_query=None, rss_bytes=None)], settings={})["results"]
    assert result["cpu_ms_per_query"] is None
    assert result["rss_bytes"] == {"before": None, "after": None}
