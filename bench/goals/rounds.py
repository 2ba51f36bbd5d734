"""Measurements in rounds: what is compared takes turns, so that a machine that drifts does so for all."""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import uvloop
from tqdm import tqdm

from bench.goals.load import Load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.goals.load import Answers
    from bench.goals.stage.server import Server

_TICK_SECONDS = 0.25
_NEARLY_A_CORE = 0.85


@dataclass(frozen=True, slots=True)
class Plan:
    """How long it all takes.

    Attributes:
        rounds: of each measurement; medians are reported.
        seconds: of one.
        warm_up_seconds: load before one.
        queries: for the memory after many.
        starts: of a process, for the time that one takes.
    """

    rounds: int = 3
    seconds: float = 8.0
    warm_up_seconds: float = 3.0
    queries: int = 100_000
    starts: int = 9


QUICK = Plan(rounds=1, seconds=3.0, warm_up_seconds=1.5, queries=5_000, starts=3)


@dataclass(frozen=True, slots=True)
class Sample:
    """One round, or the median of some. Percentiles are of the queries; ``nan`` where there was nothing.

    Attributes:
        rate: good answers a second.
        failed: answers that were not good.
        cpu_ms: processor time of the server, a query.
        lm_cpu_ms: of the language model's stub.
        load_cpu_ms: of the load generator.
        busy_cores: processor seconds of the server in a second.
    """

    rate: float
    failed: float
    p50_ms: float
    p99_ms: float
    live_p99_ms: float
    cpu_ms: float
    lm_cpu_ms: float
    load_cpu_ms: float
    busy_cores: float

    @classmethod
    def median(cls, samples: Sequence[Sample]) -> Sample:
        """The median of each."""
        return cls(
            **{
                name.name: statistics.median(getattr(sample, name.name) for sample in samples)
                for name in fields(cls)
            }
        )

    def __str__(self) -> str:
        failed = f", {self.failed:.0f} failed" if self.failed else ""
        return f"{self.rate:,.0f} q/s, {self.cpu_ms:.2f} ms CPU{failed}{self.doubt}"

    @property
    def doubt(self) -> str:
        """Says so when not the server but what surrounds it may have set the rate."""
        busy = {
            "the stub": self.rate * self.lm_cpu_ms / 1e3,
            "the load generator": self.rate * self.load_cpu_ms / 1e3,
        }
        names = [name for name, cores in busy.items() if cores > _NEARLY_A_CORE]
        return f" (limited by {' and '.join(names)})" if names else ""

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def compare(
    servers: Mapping[str, Server],
    lm: Server,
    plan: Plan,
    *,
    clients: int,
    ramp_seconds: float = 0.0,
    probing: bool = False,
) -> dict[str, Sample]:
    """The median of each server, measured in turns under the same load."""
    rounds: dict[str, list[Sample]] = {name: [] for name in servers}
    for number in range(plan.rounds):
        for name, server in servers.items():
            load = Load(server.url(), clients, ramp_seconds=ramp_seconds, probing=probing)
            label = f"{name}, {clients} clients, round {number + 1}/{plan.rounds}"
            rounds[name].append(uvloop.run(_sample(load, server, lm, plan, label)))
    return {name: Sample.median(samples) for name, samples in rounds.items()}


async def _sample(load: Load, server: Server, lm: Server, plan: Plan, label: str) -> Sample:
    with tqdm(
        total=round(plan.warm_up_seconds + plan.seconds, 1), desc=label, unit="s", leave=False, position=1
    ) as bar:
        showing = asyncio.ensure_future(_show(bar))
        async with load:
            await load.for_seconds(plan.warm_up_seconds)
            before = _cpu_seconds(server, lm)
            answers = await load.for_seconds(plan.seconds)
            after = _cpu_seconds(server, lm)
            bar.set_postfix_str("waiting for the last answers")
        showing.cancel()
    spent = [late - early for early, late in zip(before, after, strict=True)]
    return _sample_of(answers, *spent)


def _sample_of(answers: Answers, server_seconds: float, lm_seconds: float, load_seconds: float) -> Sample:
    queries = max(1, len(answers.queries))
    return Sample(
        rate=answers.rate,
        failed=answers.failed,
        p50_ms=answers.p(50) * 1e3,
        p99_ms=answers.p(99) * 1e3,
        live_p99_ms=answers.probe_p(99) * 1e3,
        cpu_ms=server_seconds / queries * 1e3,
        lm_cpu_ms=lm_seconds / queries * 1e3,
        load_cpu_ms=load_seconds / queries * 1e3,
        busy_cores=server_seconds / answers.seconds,
    )


def _cpu_seconds(server: Server, lm: Server) -> tuple[float, float, float]:
    return server.cpu_seconds(), lm.cpu_seconds(), time.process_time()


async def _show(bar: Any) -> None:
    while bar.n < bar.total:
        await asyncio.sleep(_TICK_SECONDS)
        bar.update(min(_TICK_SECONDS, bar.total - bar.n))
