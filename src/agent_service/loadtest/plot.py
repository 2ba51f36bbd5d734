"""A picture of a load test: latency and throughput over load, or over time for a single load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from agent_service.loadtest.load import ClosedLoop
from agent_service.loadtest.samples import percentile, summary_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from agent_service.loadtest.load import Load
    from agent_service.loadtest.samples import Round, Summary

_LINES = ((50, "-"), (95, "--"), (99, ":"))
_BUCKETS = 40


def plot(rounds: Mapping[tuple[Load, str], Sequence[Round]], path: Path) -> None:
    """Draw what was measured into a file; its suffix tells the format, as ``.png`` or ``.svg``.

    Raises:
        OSError: when the file cannot be written.
        ValueError: for a suffix that names no format.
    """
    figure = Figure(figsize=(9, 7), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.set_ylabel("latency, ms")
    below.set_ylabel("answers a second")
    if len({load for load, _ in rounds}) > 1:
        _over_load(above, below, [summary_of(server, load, part) for (load, server), part in rounds.items()])
    else:
        for number, ((load, server), part) in enumerate(rounds.items()):
            figure.suptitle(str(load))
            _over_time(above, below, server, part, f"C{number}")
    for axes in (above, below):
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
    figure.savefig(path, dpi=120)


def _over_load(above: Axes, below: Axes, summaries: Sequence[Summary]) -> None:
    below.set_xlabel("clients" if isinstance(summaries[0].load, ClosedLoop) else "offered queries a second")
    for number, server in enumerate(dict.fromkeys(one.server for one in summaries)):
        own = sorted((one for one in summaries if one.server == server and one.answered), key=_offered)
        offered = [_offered(one) for one in own]
        for percent, style in _LINES:
            latencies_ms = [one.latencies_seconds[percent] * 1000 for one in own]
            above.plot(
                offered, latencies_ms, style, marker="o", color=f"C{number}", label=f"{server} p{percent}"
            )
        below.plot(offered, [one.throughput for one in own], marker="o", color=f"C{number}", label=server)


def _offered(one: Summary) -> float:
    return one.load.concurrency if isinstance(one.load, ClosedLoop) else one.load.rate_per_second


def _over_time(above: Axes, below: Axes, server: str, rounds: Sequence[Round], color: str) -> None:
    """Rounds are set end to end, because other servers have their turn between them."""
    below.set_xlabel("seconds of load")
    bucket_seconds = sum(one.elapsed_seconds for one in rounds) / _BUCKETS
    if bucket_seconds <= 0:
        return
    buckets: dict[int, list[float]] = {}
    offset_seconds = 0.0
    for one in rounds:
        for sample in one.answered:
            at_seconds = offset_seconds + sample.ended_seconds - one.started_seconds
            buckets.setdefault(int(at_seconds / bucket_seconds), []).append(sample.latency_seconds)
        offset_seconds += one.elapsed_seconds
    times = [(number + 0.5) * bucket_seconds for number in sorted(buckets)]
    ordered = [sorted(buckets[number]) for number in sorted(buckets)]
    for percent, style in _LINES:
        latencies_ms = [percentile(latencies, percent) * 1000 for latencies in ordered]
        above.plot(times, latencies_ms, style, color=color, label=f"{server} p{percent}")
    below.plot(times, [len(latencies) / bucket_seconds for latencies in ordered], color=color, label=server)
