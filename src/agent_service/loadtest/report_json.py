"""What was measured, for programs."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

from agent_service import __version__
from agent_service.loadtest.load import ClosedLoop
from agent_service.loadtest.ratios import ratios_of
from agent_service.loadtest.report import warnings_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent_service.loadtest.load import Load
    from agent_service.loadtest.samples import Summary


def json_of(
    summaries: Sequence[Summary], *, settings: Mapping[str, Any], interrupted: bool = False
) -> dict[str, Any]:
    """A JSON object: the ``settings`` of the run, the machine, results, ratios, warnings. Unknown is null."""
    return {
        "settings": dict(settings),
        "interrupted": interrupted,
        "machine": {
            "system": platform.system(),
            "architecture": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "agent_service": __version__,
        },
        "results": [_result(one) for one in summaries],
        "ratios": [
            {
                **_load(ratio.load),
                "baseline": ratio.baseline,
                "throughput": ratio.throughput,
                "throughput_of_rounds": {"lowest": ratio.lowest, "highest": ratio.highest},
                "cpu_per_query": ratio.cpu,
            }
            for ratio in ratios_of(summaries)
        ],
        "warnings": warnings_of(summaries),
    }


def _result(one: Summary) -> dict[str, Any]:
    cpu_seconds = one.cpu_seconds_per_query
    before, after = one.rss_bytes or (None, None)
    return {
        "server": one.server,
        **_load(one.load),
        "queries": one.queries,
        "answered": one.answered,
        "errors": one.errors,
        "throughput_per_second": one.throughput,
        "throughput_of_rounds_per_second": one.round_throughputs,
        "latency_ms": {
            "max" if percent == 100 else f"p{percent}": seconds * 1000  # noqa: PLR2004 - the whole
            for percent, seconds in one.latencies_seconds.items()
        },
        "cpu_ms_per_query": None if cpu_seconds is None else cpu_seconds * 1000,
        "cores_busy": one.cores_busy,
        "rss_bytes": {"before": before, "after": after},
        "lm_calls": one.lm_calls,
        "generator_busy": one.generator_busy,
        "model_busy": one.model_busy,
    }


def _load(load: Load) -> dict[str, Any]:
    if isinstance(load, ClosedLoop):
        return {"load": "closed", "concurrency": load.concurrency}
    return {"load": "open", "rate_per_second": load.rate_per_second, "spacing": load.spacing}
