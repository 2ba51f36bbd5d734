from __future__ import annotations

import asyncio
import itertools
import math
from random import Random
from typing import TYPE_CHECKING

import pytest

from agent_service.loadtest.load import ClosedLoop, Extent, Generator, OpenLoop, Reply, Sample
from agent_service.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Answerer:
    """Answers when the test says so; notes when each query came."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.sent_seconds: list[float] = []
        self.samples: list[Sample] = []
        self.reply = Reply()
        self._waiting: list[asyncio.Future[Reply]] = []

    @property
    def in_flight(self) -> int:
        return sum(not one.done() for one in self._waiting)

    async def send(self) -> Reply:
        self.sent_seconds.append(self.clock.monotonic())
        self._waiting.append(asyncio.get_running_loop().create_future())
        return await self._waiting[-1]

    def answer_all(self) -> None:
        for one in self._waiting:
            if not one.done():
                one.set_result(self.reply)

    def generator(self, send: Callable[[], Awaitable[Reply]] | None = None) -> Generator:
        return Generator(
            send=send or self.send, record=self.samples.append, clock=self.clock, random=Random(7)
        )


async def turn() -> None:
    """Let everything that can run, run."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def answerer() -> Answerer:
    return Answerer(FakeClock(monotonic=0.0))


async def test_each_client_of_a_closed_loop_waits_for_its_answer(answerer: Answerer) -> None:
    """As many in flight as there are clients, never more, and none idle."""
    running = asyncio.create_task(answerer.generator().run(ClosedLoop(3), Extent(queries=7)))
    for in_flight, sent in ((3, 3), (3, 6), (1, 7)):
        await turn()
        assert (answerer.in_flight, len(answerer.sent_seconds)) == (in_flight, sent)
        answerer.clock.advance(0.5)
        answerer.answer_all()
    await running
    assert [sample.latency_seconds for sample in answerer.samples] == [0.5] * 7


async def test_a_closed_loop_ends_with_its_time_and_its_last_answer(answerer: Answerer) -> None:
    """Nothing is sent after the time, and what was sent before is waited for."""
    running = asyncio.create_task(answerer.generator().run(ClosedLoop(1), Extent(seconds=1.0)))
    await turn()
    answerer.clock.advance(2.0)
    await turn()
    assert not running.done()
    answerer.answer_all()
    await running
    assert len(answerer.samples) == 1


async def test_a_refused_client_pauses(answerer: Answerer) -> None:
    """Or the load would be made of refusals."""
    answerer.reply = Reply("pool_exhausted")
    running = asyncio.create_task(answerer.generator().run(ClosedLoop(1), Extent(queries=2)))
    await turn()
    answerer.answer_all()
    await turn()
    assert len(answerer.sent_seconds) == 1
    answerer.clock.advance(0.25)
    await turn()
    assert len(answerer.sent_seconds) == 2
    answerer.answer_all()
    await turn()
    answerer.clock.advance(0.25)
    await running


async def test_an_open_loop_sends_at_its_rate_whatever_the_answers(answerer: Answerer) -> None:
    """Slow answers do not slow the sending down."""
    running = asyncio.create_task(answerer.generator().run(OpenLoop(4, "even"), Extent(seconds=1.0)))
    for _ in range(10):
        await turn()
        answerer.clock.advance(0.125)
    assert answerer.sent_seconds == [0.0, 0.25, 0.5, 0.75]
    assert answerer.in_flight == 4
    answerer.answer_all()
    await running


async def test_latency_counts_from_the_time_a_query_was_meant_to_be_sent(answerer: Answerer) -> None:
    """A stall of the sender is charged to each query that it delays: no coordinated omission."""
    running = asyncio.create_task(answerer.generator().run(OpenLoop(4, "even"), Extent(queries=4)))
    await turn()
    answerer.clock.advance(1.0)
    await turn()
    answerer.answer_all()
    await running
    assert answerer.sent_seconds == [0.0, 1.0, 1.0, 1.0]
    assert [sample.latency_seconds for sample in answerer.samples] == [1.0, 0.75, 0.5, 0.25]


def test_poisson_arrivals_have_their_rate_and_spread() -> None:
    """Gaps of an exponential distribution: their mean and their deviation are one over the rate."""
    due = OpenLoop(50, "poisson").due_seconds(Random(1))
    times = [next(due) for _ in range(20_000)]
    gaps = [after - before for before, after in itertools.pairwise(times)]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert mean == pytest.approx(0.02, rel=0.03)
    assert deviation == pytest.approx(0.02, rel=0.03)


@pytest.mark.parametrize("load", [ClosedLoop(3), OpenLoop(1000, "even")], ids=str)
async def test_cancellation_breaks_off_what_is_in_flight_and_keeps_what_was_answered(
    answerer: Answerer, load: ClosedLoop | OpenLoop
) -> None:
    """Ctrl-C ends a load at once; no query outlives it."""
    running = asyncio.create_task(answerer.generator().run(load, Extent(seconds=60)))
    await turn()
    answerer.answer_all()
    await turn()
    answerer.clock.advance(0.01)
    await turn()
    answered = len(answerer.samples)
    assert answered > 0
    assert answerer.in_flight > 0
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert answerer.in_flight == 0
    assert len(answerer.samples) == answered


def test_a_load_without_end_or_clients_is_refused() -> None:
    """What cannot be measured is not begun."""
    with pytest.raises(ValueError, match="seconds or queries"):
        Extent()
    with pytest.raises(ValueError, match="seconds or queries"):
        Extent(seconds=0)
    with pytest.raises(ValueError, match="concurrency"):
        ClosedLoop(0)
    with pytest.raises(ValueError, match="rate"):
        OpenLoop(math.inf)
