"""Queries a second: against stock DSPy under FastAPI, with either memory, and of two workers against one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.goals.report import Figure, Goal, significant
from bench.goals.rounds import compare
from bench.goals.stage.lm_stub import STEPS
from bench.goals.stage.stage import steps_since

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.goals.rounds import Plan, Sample
    from bench.goals.stage.server import Server
    from bench.goals.stage.stage import Stage

_IN_FLIGHT = (32, 64)
_TUTORIAL_CLIENTS = 256
_TUTORIAL_LATENCY_SECONDS = 0.2
_WORKERS = 2
_CLIENTS_OF_WORKERS = 128


def sqlite(stage: Stage, plan: Plan) -> list[Figure]:
    """Served queries a second and core with the whole service on, its memory in SQLite."""
    lm = stage.lm()
    servers = {"acall": stage.baseline("acall", lm), "service": stage.service(lm)}
    return _against_acall("sqlite", Goal(20.0, is_least=True), servers, lm, plan)


def redis(stage: Stage, plan: Plan) -> list[Figure]:
    """The same with the memory in Redis, which has a core of its own."""
    lm, store = stage.lm(), stage.redis()
    service = stage.service(lm, {"REDIS_URL": store.url})
    servers = {"acall": stage.baseline("acall", lm), "service": service}
    return _against_acall("redis", Goal(15.0, is_least=True), servers, lm, plan)


def tutorial(stage: Stage, plan: Plan) -> list[Figure]:
    """Against the style of DSPy's tutorial, where eight threads are the cap, at 200 ms a call."""
    lm = stage.lm(_TUTORIAL_LATENCY_SECONDS)
    service = stage.service(lm, {"AGENT_POOL_SIZE": str(_TUTORIAL_CLIENTS)})
    servers = {"tutorial": stage.baseline("tutorial", lm), "service": service}
    found = compare(servers, lm, plan, clients=_TUTORIAL_CLIENTS)
    what = f"q/s against the tutorial's style, {_TUTORIAL_CLIENTS} clients, LM 200 ms"
    return [_ratio("tutorial", what, Goal(30.0, is_least=True), found["service"], found["tutorial"])]


def workers(stage: Stage, plan: Plan) -> list[Figure]:
    """Two workers on two cores against one on one."""
    lm = stage.lm()
    one = {"AGENT_POOL_SIZE": str(_CLIENTS_OF_WORKERS)}
    two = {**one, "SERVER_WORKERS": str(_WORKERS)}
    servers = {
        "one worker": stage.service(lm, one),
        "two workers": stage.service(lm, two, cores=stage.cores.served(_WORKERS)),
    }
    found = compare(servers, lm, plan, clients=_CLIENTS_OF_WORKERS)
    what = f"q/s of 2 workers on 2 cores against 1 on 1, {_CLIENTS_OF_WORKERS} clients"
    return [_ratio("workers", what, Goal(1.9, is_least=True), found["two workers"], found["one worker"])]


def _against_acall(
    row: str, goal: Goal, servers: Mapping[str, Server], lm: Server, plan: Plan
) -> list[Figure]:
    figures = []
    for clients in _IN_FLIGHT:
        found = compare(servers, lm, plan, clients=clients)
        what = f"q/s per core, {row}, {clients} in flight, LM 0 ms"
        figures.append(_ratio(row, what, goal, found["service"], found["acall"]))
    steps = steps_since(lm)
    if steps.keys() != set(STEPS) or len(set(steps.values())) != 1:
        raise RuntimeError(f"a query is not one call of each of {STEPS}: {steps}")
    return figures


def _ratio(row: str, what: str, goal: Goal, ours: Sample, baseline: Sample) -> Figure:
    cpu_ratio = baseline.cpu_ms / ours.cpu_ms
    return Figure(
        row=row,
        what=what,
        goal=goal,
        value=ours.rate / baseline.rate,
        measured=f"{ours}; by CPU {significant(cpu_ratio)} x",
        baseline=str(baseline),
        details={"service": ours.to_json(), "baseline": baseline.to_json(), "cpu_ratio": cpu_ratio},
    )
