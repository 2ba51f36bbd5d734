"""What the rows found, for people, for programs and for docs/performance.md."""

from __future__ import annotations

import datetime as dt
import os
import platform
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BEGIN = "<!-- python -m bench.goals --docs: begin -->"
END = "<!-- python -m bench.goals --docs: end -->"
_HEADINGS = ("figure", "goal", "measured", "baseline")


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound that a value has to keep.

    Attributes:
        bound: the least or the most.
        unit: what the value is in; ``x`` for a ratio.
        is_least: the value must not be below; else not above.
    """

    bound: float
    unit: str = "x"
    is_least: bool = False

    def __str__(self) -> str:
        return f"{'>=' if self.is_least else '<='} {self.bound:g} {self.unit}"

    def is_met(self, value: float) -> bool:
        """Whether the value keeps the bound. NaN keeps none."""
        return value >= self.bound if self.is_least else value <= self.bound

    def reached(self, value: float) -> float:
        """How far the goal is reached: 1 just so, more is better."""
        return value / self.bound if self.is_least else self.bound / max(value, 1e-9)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        row: its row's name on the command line.
        what: what was measured.
        goal: what it is held against.
        value: the ratio or quantity that the goal is about.
        measured: how it came about, on our side.
        baseline: the same of what it is compared with.
        details: every number behind it.
    """

    row: str
    what: str
    goal: Goal
    value: float
    measured: str
    baseline: str = "-"
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """The value, and whether the goal is met."""
        return (
            f"{significant(self.value)} {self.goal.unit}{'' if self.goal.is_met(self.value) else ', missed'}"
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """A row that could not be measured, and why."""

    row: str
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """One run of some rows."""

    figures: Sequence[Figure]
    failures: Sequence[Failure]
    plan: dict[str, Any]
    date: dt.date = field(default_factory=lambda: dt.datetime.now(dt.timezone.utc).date())

    def text(self) -> str:
        """A table for a terminal, with what could not be measured below."""
        cells = [list(_HEADINGS), *self._cells()]
        widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADINGS))]
        cells.insert(1, ["-" * width for width in widths])
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells
        ]
        return "\n".join([self._heading(), "", *(line.rstrip() for line in lines), *self._failed()])

    def markdown(self) -> str:
        """The same for docs/performance.md."""
        rows = [_HEADINGS, ["---"] * len(_HEADINGS), *self._cells(mark="**")]
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        return "\n".join([self._heading(), "", table, *self._failed()])

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        return {
            "machine": machine(self.date),
            "plan": self.plan,
            "figures": [
                {**asdict(figure), "is_met": figure.goal.is_met(figure.value)} for figure in self.figures
            ],
            "failures": [asdict(failure) for failure in self.failures],
        }

    def _heading(self) -> str:
        rounds, seconds = self.plan["rounds"], self.plan["seconds"]
        return f"{machine(self.date)}; each rate and latency is the median of {rounds} x {seconds:g} s."

    def _cells(self, mark: str = "") -> list[list[str]]:
        return [
            [
                figure.what,
                str(figure.goal),
                f"{mark}{figure.verdict}{mark}: {figure.measured}",
                figure.baseline,
            ]
            for figure in self.figures
        ]

    def _failed(self) -> list[str]:
        return [f"\nNot measured: {failure.row}. {failure.reason}" for failure in self.failures]


def significant(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits


def machine(date: dt.date) -> str:
    """Where and when."""
    cores = len(os.sched_getaffinity(0))
    return f"{cores} shared cores, Python {'.'.join(platform.python_version_tuple()[:2])}, {date:%Y-%m-%d}"


def with_table(document: str, table: str) -> str:
    """The document with ``table`` between its two markers.

    Raises:
        ValueError: when it has no such markers.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def plot(report: Report, file: Path) -> None:
    """Draw how far each goal is reached; 1 is just so, farther right is better."""
    import matplotlib as mpl  # noqa: PLC0415 - heavy, and for this option alone

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after its backend is chosen

    figures = list(reversed(report.figures))
    reached = [figure.goal.reached(figure.value) for figure in figures]
    canvas, axes = plt.subplots(figsize=(9, 0.9 + 0.42 * len(figures)), layout="constrained")
    colours = ["#2a7f62" if figure.goal.is_met(figure.value) else "#c05a3a" for figure in figures]
    bars = axes.barh([figure.what for figure in figures], reached, color=colours)
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
    labels = [f"{figure.verdict} ({figure.goal})" for figure in figures]
    axes.bar_label(bars, labels=labels, padding=4, fontsize=8, bbox=paper)
    axes.axvline(1.0, color="#444444", linewidth=1)
    axes.set(xscale="log", xlabel=f"goal reached, 1 = just so ({machine(report.date)})")
    axes.set_xlim(min(0.02, *reached) / 1.5, max(2.0, *reached) * 6)
    axes.tick_params(axis="y", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_formatter("{x:g}")
    canvas.savefig(file, bbox_inches="tight")
    plt.close(canvas)
