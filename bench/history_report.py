"""What a run of the history checker found: a table for people, JSON for machines, a plot."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from pathlib import Path

    from bench.history_run import Result

_SHOWN_VIOLATIONS = 20
_RULES = ("N1", "N2", "N3", "N4", "N5", "N6", "N7")


def figures(result: Result) -> dict[str, float]:
    """Every figure by its name."""
    history, seconds = result.history, result.ended_seconds - result.began_seconds
    turns = sum(map(len, history.final[0].values()))
    broken = Counter(violation.rule for violation in result.violations)
    return {
        "seconds": round(seconds, 1),
        "kills": result.kills,
        **{f"fault: {name}": count for name, count in sorted(Counter(n for _, n in history.faults).items())},
        "questions": len(history.operations),
        "questions with a key": sum(operation.key is not None for operation in history.operations),
        "turns acknowledged as stored": history.acked,
        "turns in the histories": turns,
        "acknowledged turns a second": round(history.acked / seconds, 1),
        "histories read meanwhile": len(history.readings),
        **{f"outcome: {name}": count for name, count in history.outcomes.most_common()},
        **{f"violations of {rule}": broken[rule] for rule in _RULES},
    }


def summary(result: Result) -> str:
    """All figures, and the first violations."""
    rows = [f"{name:<45}{value:>10}" for name, value in figures(result).items()]
    shown = [f"{rule}: {finding}" for rule, finding in result.violations[:_SHOWN_VIOLATIONS]]
    return "\n".join([f"{result.plan}", *rows, *shown])


def to_json(result: Result) -> dict[str, Any]:
    """All figures and all violations."""
    return {
        "plan": asdict(result.plan),
        "figures": figures(result),
        "violations": [list(violation) for violation in result.violations],
    }


def plot(result: Result, path: Path) -> None:
    """Acknowledged turns a second, with a line at each fault."""
    acked = Counter(
        int(operation.acked_seconds - result.began_seconds)
        for operation in result.history.operations
        if operation.acked_seconds is not None
    )
    seconds = range(int(result.ended_seconds - result.began_seconds) + 1)
    figure, axes = plt.subplots(figsize=(10, 4), layout="constrained")
    axes.plot(seconds, [acked[second] for second in seconds], linewidth=1)
    names = sorted({name for _, name in result.history.faults})
    for number, name in enumerate(names, start=1):
        times = [at - result.began_seconds for at, other in result.history.faults if other == name]
        lines = axes.vlines(times, 0, 1, transform=axes.get_xaxis_transform(), color=f"C{number}", alpha=0.5)
        lines.set_label(name)
    axes.set(xlabel="seconds", ylabel="acknowledged turns a second", ylim=(0, None))
    axes.legend(loc="upper right")
    figure.savefig(path)
    plt.close(figure)
