"""How the service does against what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_service.loadtest.load import Load
    from agent_service.loadtest.samples import Summary


@dataclass(frozen=True, slots=True)
class Ratio:
    """The service against a baseline under one load: above 1 the service is better.

    Attributes:
        throughput: of all rounds together.
        lowest: throughput in the round that was worst for the service.
        highest: the same in the best.
        cpu: CPU of a query, the baseline's through the service's.
    """

    load: Load
    baseline: str
    throughput: float
    lowest: float
    highest: float
    cpu: float | None


def ratios_of(summaries: Sequence[Summary]) -> list[Ratio]:
    """The service, which comes first under each load, against the others under the same load.

    Rounds that were not finished by both are left out of ``lowest`` and ``highest``.
    """
    found = []
    for load in dict.fromkeys(one.load for one in summaries):
        service, *others = [one for one in summaries if one.load == load]
        found += [_ratio(service, other) for other in others if other.throughput > 0]
    return found


def _ratio(service: Summary, other: Summary) -> Ratio:
    pairs = zip(service.round_throughputs, other.round_throughputs, strict=False)
    by_round = [mine / theirs for mine, theirs in pairs if theirs > 0] or [0.0]
    mine, theirs = service.cpu_seconds_per_query, other.cpu_seconds_per_query
    return Ratio(
        load=service.load,
        baseline=other.server,
        throughput=service.throughput / other.throughput,
        lowest=min(by_round),
        highest=max(by_round),
        cpu=theirs / mine if mine and theirs else None,
    )
