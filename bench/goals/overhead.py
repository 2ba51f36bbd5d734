"""What the service adds to a query: its processor time less that of the same query in process."""

from __future__ import annotations

import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.goals.report import Figure, Goal
from bench.goals.rounds import compare

if TYPE_CHECKING:
    from bench.goals.rounds import Plan
    from bench.goals.stage.stage import Stage

_CLIENTS = 64


def overhead(stage: Stage, plan: Plan) -> list[Figure]:
    """Both call the same program, of the same stub, over HTTP; the service and the process take turns."""
    lm = stage.lm()
    service = stage.service(lm)
    served, alone, queries = [], [], []
    for _ in range(plan.rounds):
        served.append(compare({"service": service}, lm, _one_round(plan), clients=_CLIENTS)["service"].cpu_ms)
        found = stage.in_process(lm, _CLIENTS, plan.seconds)
        alone.append(found["cpu_seconds"] / found["queries"] * 1e3)
        queries.append(found["queries"] / found["seconds"])
    served_ms, alone_ms = statistics.median(served), statistics.median(alone)
    return [
        Figure(
            row="overhead",
            what=f"CPU that the service adds to a query, {_CLIENTS} in flight",
            goal=Goal(0.3, "ms"),
            value=statistics.median(one - other for one, other in zip(served, alone, strict=True)),
            measured=f"{served_ms:.2f} ms served",
            baseline=f"{alone_ms:.2f} ms in process ({statistics.median(queries):,.0f} q/s)",
            details={"served_ms": served, "in_process_ms": alone, "in_process_rates": queries},
        )
    ]


def _one_round(plan: Plan) -> Plan:
    return replace(plan, rounds=1)
