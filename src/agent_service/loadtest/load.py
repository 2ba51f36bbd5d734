"""Two kinds of load, closed and open loop, and how they are put on whatever answers."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from agent_service.core.clock import sleep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from random import Random

    from agent_service.core.clock import Clock

_PAUSE_AFTER_ERROR_SECONDS = 0.25
"""A refused client that came back at once would only measure refusals."""


class Reply(NamedTuple):
    """What came of one query: ``error`` is None for an answer; LM calls where the answer tells them."""

    error: str | None = None
    lm_calls: int | None = None


class Sample(NamedTuple):
    """One query: when it was meant to be sent, when its reply was there, what it was."""

    due_seconds: float
    ended_seconds: float
    reply: Reply

    @property
    def latency_seconds(self) -> float:
        """From the intended send time, so that what a slow answer delays counts as slow too."""
        return self.ended_seconds - self.due_seconds


@dataclass(frozen=True, slots=True)
class Extent:
    """When to stop sending: after ``seconds`` or after ``queries``, whichever is set and first."""

    seconds: float = math.inf
    queries: float = math.inf

    def __post_init__(self) -> None:
        if min(self.seconds, self.queries) <= 0 or math.inf == self.seconds == self.queries:
            raise ValueError("a load needs seconds or queries above 0")


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """So many clients; each sends its next query when the one before is answered."""

    concurrency: int

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ValueError("concurrency must be at least 1")

    def __str__(self) -> str:
        return f"{self.concurrency} client{'s' if self.concurrency > 1 else ''}"


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """Queries at a fixed rate, however slow the answers: ``poisson`` arrivals, or ``even`` ones."""

    rate_per_second: float
    spacing: Literal["poisson", "even"] = "poisson"

    def __post_init__(self) -> None:
        if not 0 < self.rate_per_second < math.inf:
            raise ValueError("the rate must be above 0")

    def __str__(self) -> str:
        return f"{self.rate_per_second:g} q/s"

    def due_seconds(self, random: Random) -> Iterator[float]:
        """The send times, in seconds from the start, without end."""
        at = 0.0
        while True:
            yield at
            gap = random.expovariate(1) if self.spacing == "poisson" else 1.0
            at += gap / self.rate_per_second


Load = ClosedLoop | OpenLoop


class Generator:
    """Puts load on something and hands over a sample of each query.

    Args:
        send: sends one query and returns what came of it; raises nothing.
        record: is given each sample.
        clock: time for schedule and samples.
        random: draws the gaps of Poisson arrivals.
    """

    def __init__(
        self,
        *,
        send: Callable[[], Awaitable[Reply]],
        record: Callable[[Sample], object],
        clock: Clock,
        random: Random,
    ) -> None:
        self._send = send
        self._record = record
        self._clock = clock
        self._random = random

    def __repr__(self) -> str:
        return f"Generator({self._send!r})"

    async def run(self, load: Load, extent: Extent) -> None:
        """Send until ``extent`` is reached and return when all is answered.

        Cancellation breaks off the queries in flight; what was answered has been recorded.
        """
        if isinstance(load, ClosedLoop):
            await self._closed(load, extent)
        else:
            await self._open(load, extent)

    async def _closed(self, load: ClosedLoop, extent: Extent) -> None:
        end_seconds = self._clock.monotonic() + extent.seconds
        left = extent.queries

        async def client() -> None:
            nonlocal left
            while left > 0 and self._clock.monotonic() < end_seconds:
                left -= 1
                reply = await self._one(self._clock.monotonic())
                if reply.error is not None:
                    await sleep(self._clock, _PAUSE_AFTER_ERROR_SECONDS)

        clients = {asyncio.create_task(client()) for _ in range(load.concurrency)}
        try:
            await asyncio.gather(*clients)
        finally:
            await _end(clients)

    async def _open(self, load: OpenLoop, extent: Extent) -> None:
        start_seconds = self._clock.monotonic()
        queries: set[asyncio.Task[Any]] = set()
        try:
            for number, due_seconds in enumerate(load.due_seconds(self._random)):
                if number >= extent.queries or due_seconds >= extent.seconds:
                    break
                await self._wait_until(start_seconds + due_seconds)
                query = asyncio.create_task(self._one(start_seconds + due_seconds))
                queries.add(query)
                query.add_done_callback(queries.discard)
            await asyncio.gather(*queries)
        finally:
            await _end(queries)

    async def _wait_until(self, at_seconds: float) -> None:
        wait_seconds = at_seconds - self._clock.monotonic()
        if wait_seconds > 0:
            await sleep(self._clock, wait_seconds)
        else:
            await asyncio.sleep(0)

    async def _one(self, due_seconds: float) -> Reply:
        reply = await self._send()
        self._record(Sample(due_seconds, self._clock.monotonic(), reply))
        return reply


async def _end(tasks: set[asyncio.Task[Any]]) -> None:
    """Cancel what still runs and wait until it has ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
