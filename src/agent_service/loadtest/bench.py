"""One load test: every load on every server in turn, in interleaved rounds, and what was measured."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from agent_service.core.clock import sleep
from agent_service.loadtest.client import Client
from agent_service.loadtest.load import Extent, Generator
from agent_service.loadtest.samples import Round, summary_of
from agent_service.loadtest.stage.process import StageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from random import Random

    from agent_service.core.clock import Clock
    from agent_service.loadtest.load import Load, Sample
    from agent_service.loadtest.samples import Summary
    from agent_service.loadtest.stage.model import SimulatedModel
    from agent_service.loadtest.stage.server import Server

_SHOW_EVERY_SECONDS = 0.25


class Progress(Protocol):
    """Who is shown how it goes."""

    def begin(self, title: str, extent: Extent) -> None:
        """A stretch of load begins."""

    def show(self, elapsed_seconds: float, samples: list[Sample]) -> None:
        """So far it went like this."""

    def end(self) -> None:
        """The stretch is over."""


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What to measure.

    Attributes:
        loads: one after the other.
        extent: of each load on each server, over all its rounds.
        rounds: into how many it is divided; the servers take turns in them.
        warm_up_seconds: each server is used so long, with the first load, before anything is measured.
    """

    loads: tuple[Load, ...]
    extent: Extent
    rounds: int = 1
    warm_up_seconds: float = 2.0

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.warm_up_seconds < 0 or not self.loads:
            raise ValueError("a bench needs a load, at least one round and no negative time")

    @property
    def extent_of_round(self) -> Extent:
        """The part of the extent that falls to one round."""
        return Extent(self.extent.seconds / self.rounds, max(1, self.extent.queries / self.rounds))


class Bench:
    """Measures servers.

    Args:
        servers: they take turns, in this order.
        model: the simulated model that they all use, if there is one.
        options: what to measure.
        progress: is shown how it goes.
        clock: time for schedule and samples.
        random: draws the gaps of Poisson arrivals.
    """

    def __init__(
        self,
        *,
        servers: Sequence[Server],
        model: SimulatedModel | None,
        options: BenchOptions,
        progress: Progress,
        clock: Clock,
        random: Random,
    ) -> None:
        self.rounds: dict[tuple[Load, str], list[Round]] = {}
        self._servers = servers
        self._model = model
        self._options = options
        self._progress = progress
        self._clock = clock
        self._random = random
        self._clients: Mapping[str, Client] = {}

    def __repr__(self) -> str:
        return f"<Bench of {self._servers!r}, {self._options!r}>"

    def summaries(self) -> list[Summary]:
        """What was measured until now, by load and server."""
        return [summary_of(server, load, rounds) for (load, server), rounds in self.rounds.items()]

    async def run(self) -> None:
        """Measure. Cancellation ends it early; what was measured until then stays.

        Raises:
            StageError: when a server does not answer or ends.
        """
        async with AsyncExitStack() as stack:
            self._clients = {
                server.name: await stack.enter_async_context(Client(server.endpoint))
                for server in self._servers
            }
            for server in self._servers:
                await self._warm_up(server)
            for load in self._options.loads:
                for _ in range(self._options.rounds):
                    for server in self._servers:
                        await self._measure(server, load)

    async def _warm_up(self, server: Server) -> None:
        """Ask once, to see whether it answers at all, then for a while."""
        reply = await self._clients[server.name].send()
        if reply.error is not None:
            raise StageError(f"{server.name} at {server.endpoint.url} does not answer: {reply.error}")
        if self._options.warm_up_seconds:
            extent = Extent(self._options.warm_up_seconds)
            warm_up = Round(extent, self._clock.monotonic())
            await self._put_on(server, self._options.loads[0], warm_up, title=f"warm-up of {server.name}")

    async def _measure(self, server: Server, load: Load) -> None:
        model = self._model
        calls, model_cpu = (model.calls(), model.cpu_seconds()) if model is not None else (0, [])
        before, cpu_seconds = server.usage(), time.process_time()
        one = Round(self._options.extent_of_round, self._clock.monotonic(), before=before)
        self.rounds.setdefault((load, server.name), []).append(one)
        try:
            await self._put_on(server, load, one, title=f"{server.name}, {load}")
        finally:
            one.ended_seconds = self._clock.monotonic()
            one.after = server.usage()
            one.generator_cpu_seconds = time.process_time() - cpu_seconds
            if model is not None:
                one.model_calls = model.calls() - calls
                used = zip(model.cpu_seconds(), model_cpu, strict=True)
                one.model_cpu_seconds = max(after - before for after, before in used)

    async def _put_on(self, server: Server, load: Load, one: Round, *, title: str) -> None:
        generator = Generator(
            send=self._clients[server.name].send,
            record=one.samples.append,
            clock=self._clock,
            random=self._random,
        )
        self._progress.begin(title, one.extent)
        showing = asyncio.create_task(self._show(one))
        try:
            await generator.run(load, one.extent)
        finally:
            showing.cancel()
            await asyncio.wait({showing})
            self._progress.show(self._clock.monotonic() - one.started_seconds, one.samples)
            self._progress.end()

    async def _show(self, one: Round) -> None:
        while True:
            await sleep(self._clock, _SHOW_EVERY_SECONDS)
            self._progress.show(self._clock.monotonic() - one.started_seconds, one.samples)
