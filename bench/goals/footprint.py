"""What a worker takes: memory after many queries and for each in flight, and the time until it answers."""

from __future__ import annotations

import asyncio
import http.client
import statistics
import time
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import uvloop
from tqdm import tqdm

from bench.goals.load import Load
from bench.goals.report import Figure, Goal
from bench.goals.stage.stage import set_latency
from bench.redis_server import free_port

if TYPE_CHECKING:
    from bench.goals.rounds import Plan
    from bench.goals.stage.server import Server
    from bench.goals.stage.stage import Stage

_CLIENTS = 64
_FEW = 1_000
_WARM = 3_000
_IN_FLIGHT = 1_000
_LONG_CALL_SECONDS = 2.0
_REST_SECONDS = 2.0
_POLL_SECONDS = 0.002
_START_SECONDS = 60.0
_OK = 200
_QUERY = '{"user_id": "ada", "question": "What is 2+2?"}'


def memory(stage: Stage, plan: Plan) -> list[Figure]:
    """Resident memory of a worker after many queries against after few."""
    lm = stage.lm()
    service = stage.service(lm)
    few_mb, many_mb = uvloop.run(_rss_after(service, (_FEW, plan.queries)))
    return [
        Figure(
            row="memory",
            what=f"RSS of a worker after {plan.queries:,} queries against after {_FEW:,}",
            goal=Goal(1.05),
            value=many_mb / few_mb,
            measured=f"{many_mb:.1f} MB",
            baseline=f"{few_mb:.1f} MB",
            details={"after_few_mb": few_mb, "after_many_mb": many_mb, "queries": plan.queries},
        )
    ]


def in_flight(stage: Stage, _plan: Plan) -> list[Figure]:
    """Resident memory with 1 000 queries in flight less that of a warm worker at rest, for each."""
    lm = stage.lm()
    service = stage.service(lm, {"AGENT_POOL_SIZE": str(_IN_FLIGHT)})
    idle_mb, busy_mb = uvloop.run(_rss_in_flight(service, lm))
    return [
        Figure(
            row="in-flight",
            what=f"RSS for each of {_IN_FLIGHT:,} queries in flight",
            goal=Goal(50.0, "KB"),
            value=(busy_mb - idle_mb) * 1e3 / _IN_FLIGHT,
            measured=f"{busy_mb:.1f} MB",
            baseline=f"{idle_mb:.1f} MB at rest",
            details={"idle_mb": idle_mb, "busy_mb": busy_mb, "settings": {"AGENT_POOL_SIZE": _IN_FLIGHT}},
        )
    ]


def start(stage: Stage, plan: Plan) -> list[Figure]:
    """From a process's start to its first answer, against one that imports DSPy and ends; warm disk."""
    lm = stage.lm()
    bare, answered = [], []
    for number in tqdm(range(plan.starts + 1), desc="starts", leave=False, position=1):
        bare_seconds, answered_seconds = stage.import_seconds("dspy"), _answer_seconds(stage, lm)
        if number:  # the first of each warms the disk
            bare.append(bare_seconds)
            answered.append(answered_seconds)
    bare_seconds, answered_seconds = statistics.median(bare), statistics.median(answered)
    return [
        Figure(
            row="start",
            what="process start to first answer, against a bare import of DSPy",
            goal=Goal(1.5),
            value=answered_seconds / bare_seconds,
            measured=f"{answered_seconds:.2f} s",
            baseline=f"{bare_seconds:.2f} s",
            details={"import_seconds": bare, "answer_seconds": answered},
        )
    ]


async def _rss_after(service: Server, counts: tuple[int, ...]) -> list[float]:
    """Resident memory at rest after each count of queries."""
    found, done = [], 0
    for count in counts:
        load = Load(service.url(), _CLIENTS)
        with tqdm(total=count - done, desc=f"to {count:,} queries", unit="q", leave=False, position=1) as bar:
            async with load:
                await load.until(count - done, partial(_advance, bar))
        done += len(load.queries)
        await asyncio.sleep(_REST_SECONDS)
        found.append(service.rss_mb())
    return found


def _advance(bar: tqdm[NoReturn], seen: int) -> None:
    bar.update(seen - bar.n)


async def _rss_in_flight(service: Server, lm: Server) -> tuple[float, float]:
    """Resident memory at rest, and the most while all are in flight."""
    (idle_mb,) = await _rss_after(service, (_WARM,))
    set_latency(lm, _LONG_CALL_SECONDS)
    load, busy_mb = Load(service.url(), _IN_FLIGHT, ramp_seconds=1.0), []
    async with load:
        while not load.queries:
            busy_mb.append(service.rss_mb())
            await asyncio.sleep(0.1)
    if any(answer.status != _OK for answer in load.queries):
        raise RuntimeError("queries in flight failed, so the memory that they take is not known")
    return idle_mb, max(busy_mb)


def _answer_seconds(stage: Stage, lm: Server) -> float:
    port = free_port()
    lm.url()
    began = time.perf_counter()
    service = stage.service(lm, {"SERVER_PORT": str(port)}, cores=stage.cores.all)
    while not _is_answered(port):
        if time.perf_counter() - began > _START_SECONDS or not service.is_running():
            raise RuntimeError(f"the service does not answer:\n{service.last_output()}")
        time.sleep(_POLL_SECONDS)
    seconds = time.perf_counter() - began
    service.close()
    return seconds


def _is_answered(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30.0)
    try:
        connection.request("POST", "/api/v1/query", _QUERY, {"content-type": "application/json"})
        return connection.getresponse().status == _OK
    except OSError:
        return False
    finally:
        connection.close()
