"""What the goals' table says: bounds, verdicts, and where it goes in the document."""

from __future__ import annotations

import datetime as dt
import json
import math
from typing import TYPE_CHECKING

import pytest

from bench.goals.report import BEGIN, END, Failure, Figure, Goal, Report, plot, significant, with_table

if TYPE_CHECKING:
    from pathlib import Path

LEAST, MOST = Goal(20.0, is_least=True), Goal(0.3, "ms")


def _report() -> Report:
    return Report(
        figures=[
            Figure("sqlite", "q/s per core", LEAST, 21.5, "1 310 q/s", "61 q/s", {"rate": 1310.0}),
            Figure("overhead", "CPU that it adds", MOST, 0.4, "0.9 ms served", "0.5 ms in process"),
        ],
        failures=[Failure("workers", "it does not start")],
        plan={"rounds": 3, "seconds": 8.0},
        date=dt.date(2026, 3, 1),
    )


@pytest.mark.parametrize(
    ("goal", "value", "is_met"),
    [
        (LEAST, 20.0, True),
        (LEAST, 19.9, False),
        (MOST, 0.3, True),
        (MOST, 0.31, False),
        (LEAST, math.nan, False),
        (MOST, math.nan, False),
    ],
)
def test_a_goal_is_met_up_to_its_bound(goal: Goal, value: float, is_met: bool) -> None:
    """The bound itself is well; what was not measured is not."""
    assert goal.is_met(value) is is_met


@pytest.mark.parametrize(("goal", "value"), [(LEAST, 40.0), (MOST, 0.15)])
def test_how_far_a_goal_is_reached_grows_with_what_is_better(goal: Goal, value: float) -> None:
    """One scale for bounds from below and from above."""
    assert goal.reached(value) == pytest.approx(2.0)
    assert goal.reached(goal.bound) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("value", "text"), [(0.12345, "0.123"), (1.0, "1"), (21.55, "21.6"), (1234.5, "1,234")]
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    """More would pretend a precision that a shared machine has not."""
    assert significant(value) == text


def test_a_missed_goal_says_so() -> None:
    """The table needs no arithmetic of its reader."""
    met, missed = _report().figures
    assert (met.verdict, missed.verdict) == ("21.5 x", "0.4 ms, missed")


def test_the_table_names_every_figure_and_what_could_not_be_measured() -> None:
    """Nothing is left out in silence, on the terminal as in the document."""
    for text in (_report().text(), _report().markdown()):
        for part in (
            "q/s per core",
            ">= 20 x",
            "61 q/s",
            "CPU that it adds",
            "<= 0.3 ms",
            "2026-03-01",
            "3 x 8 s",
        ):
            assert part in text
        assert "Not measured: workers. it does not start" in text


def test_json_has_what_the_table_rounds() -> None:
    """Every number behind a figure, and whether its goal is met."""
    found = json.loads(json.dumps(_report().to_json()))
    assert [figure["is_met"] for figure in found["figures"]] == [True, False]
    assert found["figures"][0]["details"] == {"rate": 1310.0}
    assert found["plan"] == {"rounds": 3, "seconds": 8.0}
    assert found["failures"] == [{"row": "workers", "reason": "it does not start"}]


def test_the_document_changes_between_its_markers_only() -> None:
    """What people wrote around the table stays."""
    document = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert with_table(document, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


@pytest.mark.parametrize("document", ["no markers", f"{BEGIN} only", f"only {END}"])
def test_a_document_without_markers_is_left_alone(document: str) -> None:
    """A table must not land where nobody looks for it."""
    with pytest.raises(ValueError, match="has no"):
        with_table(document, "new")


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    """Of met and missed goals alike."""
    plot(_report(), tmp_path / "goals.svg")
    assert (tmp_path / "goals.svg").stat().st_size > 0
