"""Load control at the seam: calls in flight are limited by how the upstream answers, budgets by the run."""

from __future__ import annotations

import asyncio

import pytest
from dspy import lm15

from agent_service.core.clock import Deadline
from agent_service.core.errors import UpstreamRateLimitedError
from agent_service.core.observer import LMCallFinished, LMCallStarted
from agent_service.core.run import Run, RunLimits, RunStoppedError, StopReason
from agent_service.programs.context import running
from agent_service.programs.lm.seam import RefusedError
from agent_service.testing import FakeClock, RecordingObserver
from tests.programs.conftest import MODEL, Hang, ScriptedTransport, make_seam, ticks

REQUEST = lm15.Request(model=MODEL, messages=(lm15.Message.user("hello"),))


class Bench:
    def __init__(self, *replies: str | BaseException | Hang) -> None:
        self.clock, self.observer = FakeClock(), RecordingObserver()
        self.transport = ScriptedTransport(*replies)
        self.seam = make_seam(MODEL, self.transport, clock=self.clock, observer=self.observer)

    def run(self, *, seconds: float = 30.0, **limits: int) -> Run:
        return Run(
            request_id="r",
            deadline=Deadline.after(self.clock, seconds),
            clock=self.clock,
            observer=self.observer,
            limits=RunLimits(**limits),
        )

    async def ask(self, run: Run | None = None) -> lm15.Response:
        with running(run or self.run(), None):
            return await self.seam.complete(REQUEST)


def limited(retry_after_seconds: float | None = None) -> lm15.RateLimitError:
    return lm15.RateLimitError("slow down", status=429, retry_after=retry_after_seconds)


async def test_a_rate_limit_lowers_the_calls_in_flight_and_leaves_the_breaker_closed() -> None:
    """429 says "fewer", not "down"."""
    at = Bench(limited(), "four")
    with pytest.raises(lm15.RateLimitError):
        await at.ask()
    assert at.seam.limit.limit < 256
    assert at.seam.breaker.state.value == "closed"
    assert (await at.ask()).text == "four"
    assert at.seam.limit.in_flight == 0


async def test_a_timeout_of_a_call_lowers_them_too() -> None:
    """An upstream that does not answer in time has too much to do."""
    at = Bench(Hang())
    task = asyncio.ensure_future(at.ask(at.run(seconds=100)))
    await ticks()
    at.clock.advance(25)
    with pytest.raises(lm15.TimeoutError):
        await task
    assert at.seam.limit.limit < 256


async def test_nobody_calls_while_the_provider_wants_a_pause() -> None:
    """Retry-After is a floor for all; a run with no time for it is refused at once and told how long."""
    at = Bench(limited(10.0), "four")
    with pytest.raises(lm15.RateLimitError):
        await at.ask()
    with pytest.raises(RefusedError) as refused:
        await at.ask(at.run(seconds=5))
    assert isinstance(refused.value.error, UpstreamRateLimitedError)
    assert refused.value.error.retry_after_seconds == pytest.approx(10.0)
    waiting = asyncio.ensure_future(at.ask(at.run(seconds=20)))
    await ticks()
    assert len(at.transport.requests) == 1
    at.clock.advance(10)
    assert (await waiting).text == "four"


async def test_a_stop_ends_the_wait_for_a_place() -> None:
    """A query that is stopped leaves the line, and its place is not lost."""
    at = Bench(limited(10.0), "four")
    with pytest.raises(lm15.RateLimitError):
        await at.ask()
    run = at.run(seconds=20)
    waiting = asyncio.ensure_future(at.ask(run))
    await ticks()
    run.stop(StopReason.CALLER_LEFT)
    with pytest.raises(RunStoppedError):
        await waiting
    at.clock.advance(10)
    assert (at.seam.limit.in_flight, at.seam.limit.waiting) == (0, 0)
    assert (await at.ask()).text == "four"


async def test_a_budget_of_calls_stops_the_run_before_the_next_attempt() -> None:
    """Retries count too; the refused attempt holds neither a place nor a permit, and is no call."""
    at = Bench("one")
    run = at.run(lm_calls=2)
    await at.ask(run)
    await at.ask(run)
    with pytest.raises(RunStoppedError) as stopped:
        await at.ask(run)
    assert stopped.value.reason is StopReason.BUDGET
    assert "2 calls" in stopped.value.error().detail
    assert run.usage.lm_calls == len(at.observer.of(LMCallStarted)) == len(at.transport.requests) == 2
    assert at.seam.limit.in_flight == 0


async def test_a_budget_of_tokens_stops_the_run_after_the_call_that_used_it_up() -> None:
    """What a call will use is known when it has ended."""
    at = Bench("one")
    run = at.run(tokens=1)
    await at.ask(run)
    assert run.usage.total_tokens >= 1
    with pytest.raises(RunStoppedError):
        await at.ask(run)


async def test_a_call_in_flight_is_counted_already() -> None:
    """Who is told of a stop in the middle of a call is told that the call was made."""
    at = Bench(Hang())
    run = at.run()
    task = asyncio.ensure_future(at.ask(run))
    await ticks()
    assert run.usage.lm_calls == 1
    run.stop(StopReason.DEADLINE)
    with pytest.raises(RunStoppedError):
        await task
    [finished] = at.observer.of(LMCallFinished)
    assert (finished.outcome, run.usage.lm_calls) == ("stopped", 1)
