"""The numbers of all workers as one: those that live, and what those that ended have counted.

A snapshot is ``{"families": [family, ...]}``; a family has ``name``, ``help``, ``type``, ``merge`` and
``samples``, each ``[name, labels, value]`` and an exemplar or none. ``merge`` says how values of several
workers become one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from agent_service.core.siblings import Facts

CUMULATIVE = ("counter", "histogram")
"""Types whose values outlive their worker: a sum that shrank would look like a restart of everything."""

_BREAKER_SEVERITY = (0, 2, 1)
"""Closed, half-open, open."""


def _worst_breaker(one: float, other: float) -> float:
    return max(one, other, key=lambda state: _BREAKER_SEVERITY.index(int(state)))


MERGES: Mapping[str, Callable[[float, float], float]] = {
    "sum": lambda one, other: one + other,
    "max": max,
    "worst_breaker": _worst_breaker,
}


class Totals:
    """Keeps the latest snapshot of each worker, and adds up those of the workers that ended."""

    def __init__(self) -> None:
        self._latest: dict[int, Facts] = {}
        self._ended: Facts = {"families": []}

    def __repr__(self) -> str:
        return f"<Totals of {len(self._latest)} workers>"

    def note(self, worker: int, snapshot: Facts) -> None:
        """The numbers of ``worker`` as of now."""
        self._latest[worker] = snapshot

    def end(self, worker: int) -> None:
        """``worker`` is gone: its gauges go with it, what it counted stays."""
        if worker in self._latest:
            left = self._latest.pop(worker)["families"]
            self._keep([family for family in left if family["type"] in CUMULATIVE])

    def count(self, counter: str) -> None:
        """Add one to ``counter``, which the workers themselves expose at zero."""
        family = {"name": counter.removesuffix("_total"), "help": "", "type": "counter", "merge": "sum"}
        self._keep([{**family, "samples": [[counter, {}, 1.0]]}])

    def merged(self) -> Facts:
        """One snapshot of all."""
        return _merged([*self._latest.values(), self._ended])

    def _keep(self, families: list[Any]) -> None:
        self._ended = _merged([self._ended, {"families": families}])


def _merged(snapshots: Iterable[Facts]) -> Facts:
    """Families and samples in the order in which they first come."""
    families: dict[str, Any] = {}
    values: dict[str, dict[tuple[Any, ...], list[Any]]] = {}
    for snapshot in snapshots:
        for family in snapshot["families"]:
            families.setdefault(family["name"], family)
            _add(values.setdefault(family["name"], {}), family)
    return {"families": [{**family, "samples": _samples(values[name])} for name, family in families.items()]}


def _add(values: dict[tuple[Any, ...], list[Any]], family: Mapping[str, Any]) -> None:
    """Merge the values; of the exemplars the latest stays."""
    merge = MERGES[family["merge"]]
    for name, labels, value, *exemplar in family["samples"]:
        key = (name, *labels.items())
        if key not in values:
            values[key] = [value, *exemplar]
            continue
        merged, *earlier = values[key]
        values[key] = [merge(merged, value), *sorted([*earlier, *exemplar], key=_told_at)[-1:]]


def _told_at(exemplar: list[Any]) -> float:
    told_at: float = exemplar[2] or 0.0
    return told_at


def _samples(values: Mapping[tuple[Any, ...], list[Any]]) -> list[list[Any]]:
    return [[name, dict(labels), *value] for (name, *labels), value in values.items()]
