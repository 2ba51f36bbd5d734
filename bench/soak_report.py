"""What a soak found: a table for people, JSON for machines, a plot."""

from __future__ import annotations

import os
import platform
import re
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from bench.soak_samples import rss_slope

mpl.use("Agg")
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from bench.soak_queries import Kind
    from bench.soak_samples import Sample

_AT_REST = {
    "memory (RSS), MB": "rss_mb",
    "file descriptors": "file_descriptors",
    "  of them kept connections to the model": "model_connections",
    "threads": "threads",
    "tasks of the event loop": "tasks",
    "slots of the pool in use": "pool_in_use",
    "slots held for work that nobody waits for": "pool_abandoned",
    "queries waiting": "pool_waiting",
    "calls of the model in flight": "lm_in_flight",
    "breaker (0 is closed)": "breaker_state",
}
_LATE = 0.6
_ERRORS = re.compile(r'agent_errors_total\{error="(\w+)"\}')


@dataclass
class Result:
    """Everything that a soak found; ``warm`` and ``end`` are the samples taken at rest."""

    options: dict[str, Any]
    machine: dict[str, Any]
    seconds: float
    warm: Sample
    end: Sample
    samples: Sequence[Sample]
    outcomes: Counter[tuple[Kind, str]]
    metrics: Mapping[str, float]
    findings: Counter[str]
    exit_status: int | None = None

    @property
    def loaded(self) -> list[Sample]:
        """The samples between the two rests."""
        return [sample for sample in self.samples if self.warm.queries < sample.queries < self.end.queries]

    @property
    def errors(self) -> dict[str, int]:
        """The service's own count of errors by code."""
        found = ((_ERRORS.match(name), value) for name, value in self.metrics.items())
        return {match[1]: int(value) for match, value in found if match and value}

    def to_json(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return {
            **vars(self),
            "warm": asdict(self.warm),
            "end": asdict(self.end),
            "samples": [asdict(sample) for sample in self.samples],
            "outcomes": [
                {"kind": kind.value, "outcome": outcome, "queries": count}
                for (kind, outcome), count in self.outcomes.most_common()
            ],
        }


def machine() -> dict[str, Any]:
    """What it runs on."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
        "date": time.strftime("%Y-%m-%d"),
    }


def summary(result: Result) -> str:
    """The figures, in tables."""
    return "\n\n".join(
        [
            _headline(result),
            _table(("at rest", "after warm-up", "at the end"), _rest_rows(result)),
            _table(("how queries ended", "queries"), _outcome_rows(result.outcomes)),
            _table(("agent_errors_total", "count"), sorted(result.errors.items())),
            _table(("memory against what callers were told", "turns"), result.findings.items()),
        ]
    )


def plot(result: Result, path: Path) -> None:
    """Draw memory, descriptors, threads and tasks, and latency over time."""
    mpl.rcParams["svg.fonttype"] = "none"
    mpl.rcParams["svg.hashsalt"] = "soak"
    figure, (memory, counts, latency) = plt.subplots(3, 1, figsize=(9, 8), sharex=True, layout="constrained")
    _lines(memory, result, {"memory (RSS)": "rss_mb"}, "MB")
    memory.set_ylim(bottom=0)
    _lines(
        counts,
        result,
        {"file descriptors": "file_descriptors", "threads": "threads", "tasks": "tasks"},
        "count",
    )
    _lines(latency, result, {"p50": "p50_ms", "p99": "p99_ms"}, "ms, answered queries")
    latency.set_yscale("log")
    latency.yaxis.set_major_formatter("{x:g}")
    latency.yaxis.set_minor_formatter("")  # the labels of 600 to 900 would cover each other
    latency.set_xlabel("seconds")
    title = f"{result.end.queries:,} queries with faults; dashed: the two moments at rest".replace(",", " ")
    memory.set_title(title, fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)


def _headline(result: Result) -> str:
    loaded, on, queries = result.loaded, result.machine, result.outcomes.total()
    late = [sample for sample in loaded if sample.queries > _LATE * queries]
    share = (result.end.cpu_seconds - result.warm.cpu_seconds) / (
        result.end.at_seconds - result.warm.at_seconds
    )
    return (
        f"{queries} queries in {result.seconds:.0f} s, {queries / result.seconds:.0f} a second; "
        f"the service used {share:.0%} of a core\n"
        f"{on['cores']} cores, Python {on['python']}, {on['system']}, {on['date']}\n"
        f"slope of memory under load: {_slope(loaded)}, in the last four tenths {_slope(late)}\n"
        f"exit status of the service: {result.exit_status}"
    )


def _slope(samples: Sequence[Sample]) -> str:
    return f"{rss_slope(samples):+.2f} MB in 10 000 queries" if len(samples) > 1 else "unknown"


def _rest_rows(result: Result) -> list[tuple[str, str, str]]:
    return [
        (label, f"{getattr(result.warm, name):.6g}", f"{getattr(result.end, name):.6g}")
        for label, name in _AT_REST.items()
    ]


def _outcome_rows(outcomes: Counter[tuple[Kind, str]]) -> list[tuple[str, int]]:
    by_kind: Counter[Kind] = Counter()
    for (kind, _), count in outcomes.items():
        by_kind[kind] += count
    rows: list[tuple[str, int]] = []
    for kind, total in by_kind.most_common():
        rows.append((kind.value, total))
        ended = Counter({outcome: count for (of, outcome), count in outcomes.items() if of is kind})
        rows.extend((f"  {outcome}", count) for outcome, count in ended.most_common())
    return rows


def _table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> str:
    lines = [head, *(tuple(map(str, row)) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    first, *others = widths
    return "\n".join(
        " ".join(
            [
                line[0].ljust(first),
                *(cell.rjust(width + 1) for cell, width in zip(line[1:], others, strict=True)),
            ]
        )
        for line in lines
    )


def _lines(axes: Axes, result: Result, series: dict[str, str], unit: str) -> None:
    for label, name in series.items():
        axes.plot(
            [sample.at_seconds for sample in result.samples],
            [getattr(sample, name) for sample in result.samples],
            label=label,
            linewidth=0.9,
        )
    for rest in (result.warm, result.end):
        axes.axvline(rest.at_seconds, color="grey", linewidth=0.8, linestyle="--")
    axes.set_ylabel(unit)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", fontsize=8)
