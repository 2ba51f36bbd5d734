"""Metrics as JSON, to be merged with those of other processes, and back.

A snapshot is ``{"families": [family, ...]}``; a family has ``name``, ``help``, ``type``, ``merge`` and
``samples``, each ``[name, labels, value]`` and, where there is one, the exemplar: ``[labels, value, time]``.
``merge`` says how values of several processes become one: ``sum``, ``max`` or ``worst_breaker``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from agent_service.telemetry.exposition import written

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.samples import Sample

    from agent_service.core.siblings import Facts

_MERGES = {
    "circuit_breaker_state": "worst_breaker",
    "agent_event_loop_lag_seconds": "max",
    "agent_build_info": "max",
    "agent_program_version_share": "max",
    "process_start_time_seconds": "max",
}
"""All others are added up."""


def snapshot_of(families: Iterable[Metric]) -> Facts:
    """What ``families`` hold."""
    return {"families": [_as_facts(family) for family in families]}


def exposition_of(snapshot: Facts, accept: str = "") -> tuple[bytes, str]:
    """The snapshot as text, and its content type; see ``written``."""
    return written(_Snapshot(snapshot), accept)


def _as_facts(family: Metric) -> Facts:
    return {
        "name": family.name,
        "help": family.documentation,
        "type": family.type,
        "merge": _MERGES.get(family.name, "sum"),
        "samples": [
            [sample.name, sample.labels, sample.value, *_exemplar(sample)] for sample in family.samples
        ],
    }


def _exemplar(sample: Sample) -> list[Any]:
    told = sample.exemplar
    return [] if told is None else [[told.labels, told.value, told.timestamp]]


class _Snapshot(Collector):
    def __init__(self, snapshot: Facts) -> None:
        self._families: list[Any] = snapshot["families"]

    def collect(self) -> Iterable[Metric]:
        for family in self._families:
            metric = Metric(family["name"], family["help"], family["type"])
            for name, labels, value, *exemplar in family["samples"]:
                metric.add_sample(name, labels, value, exemplar=Exemplar(*exemplar[0]) if exemplar else None)
            yield metric
