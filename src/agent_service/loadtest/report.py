"""What was measured, as a text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.loadtest.ratios import ratios_of
from agent_service.loadtest.samples import PERCENTILES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_service.loadtest.ratios import Ratio
    from agent_service.loadtest.samples import Summary

_BUSY = 0.8
_UNKNOWN = "?"
_HEADINGS = (
    "load",
    "server",
    "q/s",
    "p50 ms",
    "p90",
    "p95",
    "p99",
    "max",
    "CPU ms/q",
    "cores",
    "RSS MB",
    "LM calls/q",
    "errors",
)


def text_of(summaries: Sequence[Summary]) -> str:
    """A table with a line for each load and server, then errors, ratios and remarks."""
    if not summaries:
        return "Nothing was measured."
    rows = [_HEADINGS, *(_row(one) for one in summaries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = [_line(row, widths) for row in rows]
    lines += ["", *(_errors(one) for one in summaries if one.errors)]
    lines += [_ratio(ratio) for ratio in ratios_of(summaries)]
    lines += [_busy(summaries), *(f"Warning: {warning}." for warning in warnings_of(summaries))]
    return "\n".join(lines)


def warnings_of(summaries: Sequence[Summary]) -> list[str]:
    """What makes the figures worth less than they look."""
    found = []
    for one in summaries:
        where = f"{one.server}, {one.load}"
        if one.generator_busy > _BUSY:
            busy = f"the load generator was busy {one.generator_busy:.0%} of a core"
            found.append(f"{where}: {busy} and may be what was measured")
        if one.model_busy > _BUSY:
            busy = f"a process of the simulated model was busy {one.model_busy:.0%} of a core"
            found.append(f"{where}: {busy}; try more --simulators")
        if "pool_exhausted" in one.errors:
            found.append(f"{where}: the pool was full and queries were refused; see AGENT_POOL_SIZE")
    return found


def _row(one: Summary) -> tuple[str, ...]:
    latencies = [_milliseconds(one.latencies_seconds.get(percent)) for percent in PERCENTILES]
    megabytes = [f"{size / 1e6:.0f}" for size in one.rss_bytes or ()]
    calls = None if one.lm_calls is None or not one.answered else one.lm_calls / one.answered
    return (
        str(one.load),
        one.server,
        f"{one.throughput:.4g}",
        *latencies,
        _milliseconds(one.cpu_seconds_per_query),
        _UNKNOWN if one.cores_busy is None else f"{one.cores_busy:.2f}",
        " - ".join(megabytes) or _UNKNOWN,
        _UNKNOWN if calls is None else f"{calls:.2f}",
        str(one.queries - one.answered),
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    names = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
    figures = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
    return "  ".join([*names, *figures])


def _milliseconds(seconds: float | None) -> str:
    return (
        _UNKNOWN if seconds is None else f"{seconds * 1000:.3g}" if seconds < 1 else f"{seconds * 1000:.0f}"
    )


def _errors(one: Summary) -> str:
    return f"Errors of {one.server}, {one.load}: " + ", ".join(
        f"{code} {count}" for code, count in one.errors.items()
    )


def _ratio(ratio: Ratio) -> str:
    rounds = f"rounds {ratio.lowest:.3g} to {ratio.highest:.3g}"
    cpu = "" if ratio.cpu is None else f", and a query takes 1/{ratio.cpu:.3g} of its CPU"
    return (
        f"At {ratio.load} the service does {ratio.throughput:.3g} x the queries of {ratio.baseline}"
        f" ({rounds}){cpu}."
    )


def _busy(summaries: Sequence[Summary]) -> str:
    generator = max(one.generator_busy for one in summaries)
    model = max(one.model_busy for one in summaries)
    simulated = f", the busiest process of the simulated model {model:.0%}" if model else ""
    return f"The load generator was busy at most {generator:.0%} of a core{simulated}."
