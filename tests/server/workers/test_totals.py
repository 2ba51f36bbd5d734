from __future__ import annotations

from typing import Any

import pytest

from agent_service.server.workers.totals import Totals


def family(name: str, value: float, *, kind: str = "counter", merge: str = "sum", **labels: str) -> Any:
    """A family of one sample."""
    return {"name": name, "help": name, "type": kind, "merge": merge, "samples": [[name, labels, value]]}


def snapshot(*families: Any) -> Any:
    """What a worker tells."""
    return {"families": list(families)}


def values(totals: Totals) -> dict[str, float]:
    """Value by name and labels."""
    return {
        "".join([name, *labels.values()]): value
        for family in totals.merged()["families"]
        for name, labels, value in family["samples"]
    }


def test_values_of_the_same_series_are_added_up() -> None:
    """Series differ by name and labels; the latest snapshot of a worker is the one that counts."""
    totals = Totals()
    totals.note(1, snapshot(family("queries", 9, status="a")))
    totals.note(1, snapshot(family("queries", 10, status="a")))
    totals.note(2, snapshot(family("queries", 1, status="a"), family("tools", 5)))
    totals.note(3, snapshot(family("queries", 2, status="b")))
    assert values(totals) == {"queriesa": 11, "queriesb": 2, "tools": 5}


def test_what_an_ended_worker_counted_stays_and_its_gauges_go() -> None:
    """A counter never goes back; nothing is in use in a process that is gone."""
    totals = Totals()
    totals.note(
        1,
        snapshot(
            family("queries", 10), family("latency", 3, kind="histogram"), family("in_use", 4, kind="gauge")
        ),
    )
    totals.note(2, snapshot(family("queries", 1), family("in_use", 2, kind="gauge")))
    totals.end(1)
    totals.end(1)
    totals.note(3, snapshot(family("queries", 5)))
    totals.end(3)
    assert values(totals) == {"queries": 16, "latency": 3, "in_use": 2}


def test_the_supervisor_counts_in_a_family_that_workers_expose() -> None:
    """The family is theirs, with their help text; the number is added."""
    totals = Totals()
    totals.count("crashes_total")
    totals.count("crashes_total")
    zero = {**family("crashes", 0), "samples": [["crashes_total", {}, 0.0]]}
    totals.note(1, snapshot(zero))
    assert values(totals) == {"crashes_total": 2}
    assert totals.merged()["families"][0]["help"] == "crashes"


@pytest.mark.parametrize(
    ("merge", "of_each", "of_all"),
    [
        ("sum", (1, 2, 3), 6),
        ("max", (1, 3, 2), 3),
        ("worst_breaker", (0, 2, 0), 2),
        ("worst_breaker", (2, 1, 0), 1),
    ],
)
def test_a_family_says_how_its_values_become_one(
    merge: str, of_each: tuple[float, ...], of_all: float
) -> None:
    """Slots are added up, the worst lag counts, and an open breaker is worse than one that probes."""
    totals = Totals()
    for worker, value in enumerate(of_each):
        totals.note(worker, snapshot(family("it", value, kind="gauge", merge=merge)))
    assert values(totals) == {"it": of_all}


def test_of_exemplars_the_latest_stays() -> None:
    """It leads to a trace that is most likely still kept; one without a time is the oldest."""
    totals = Totals()
    for worker, told_at in enumerate((5.0, 9.0, None)):
        told = family("latency", 1, kind="histogram")
        told["samples"][0].append([{"trace_id": str(worker)}, 0.1, told_at])
        totals.note(worker, snapshot(told))
    totals.note(4, snapshot(family("latency", 1, kind="histogram")))
    (merged,) = totals.merged()["families"]
    assert merged["samples"] == [["latency", {}, 4, [{"trace_id": "1"}, 0.1, 9.0]]]
