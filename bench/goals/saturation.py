"""How it answers when there is more to do than it can: a thousand queries at once, and the liveness probe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.goals.report import Figure, Goal
from bench.goals.rounds import compare

if TYPE_CHECKING:
    from bench.goals.rounds import Plan
    from bench.goals.stage.stage import Stage

_LATENCY_SECONDS = 0.2
_CALLS = 3
_FLOOR_MS = _LATENCY_SECONDS * _CALLS * 1e3
_MANY = 1_000
_CLIENTS = 64


def thousand(stage: Stage, plan: Plan) -> list[Figure]:
    """The p99 of 1 000 clients of one worker, who start evenly over one query's time, against the floor."""
    lm = stage.lm(_LATENCY_SECONDS)
    service = stage.service(lm, {"AGENT_POOL_SIZE": str(_MANY)})
    found = compare(
        {"service": service}, lm, plan, clients=_MANY, ramp_seconds=_FLOOR_MS / 1e3, probing=True
    )["service"]
    return [
        Figure(
            row="thousand",
            what=f"p99 of {_MANY:,} in flight in one worker, LM 200 ms, against the floor",
            goal=Goal(1.25),
            value=found.p99_ms / _FLOOR_MS,
            measured=f"p99 {found.p99_ms:,.0f} ms, p50 {found.p50_ms:,.0f} ms, {found}",
            baseline=f"{_FLOOR_MS:.0f} ms",
            details={"service": found.to_json(), "settings": {"AGENT_POOL_SIZE": _MANY}},
        )
    ]


def liveness(stage: Stage, plan: Plan) -> list[Figure]:
    """The p99 of the probe while 64 clients saturate the worker."""
    figures = []
    for latency_seconds in (0.0, _LATENCY_SECONDS):
        lm = stage.lm(latency_seconds)
        servers = {"acall": stage.baseline("acall", lm), "service": stage.service(lm)}
        found = compare(servers, lm, plan, clients=_CLIENTS, probing=True)
        service, acall = found["service"], found["acall"]
        figures.append(
            Figure(
                row="liveness",
                what=f"liveness p99, {_CLIENTS} clients, LM {latency_seconds * 1e3:.0f} ms",
                goal=Goal(15.0, "ms"),
                value=service.live_p99_ms,
                measured=str(service),
                baseline=f"{acall.live_p99_ms:.0f} ms at {acall}",
                details={"service": service.to_json(), "baseline": acall.to_json()},
            )
        )
    return figures
