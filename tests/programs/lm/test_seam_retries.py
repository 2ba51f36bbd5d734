"""The one retry loop, at the LM seam: when it tries again, and when that would only feed a storm."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from dspy import lm15

from agent_service.core.breaker import BreakerOptions, BreakerState
from agent_service.core.clock import Deadline
from agent_service.core.errors import CircuitBreakerOpenError
from agent_service.core.observer import LMCallFinished, LMCallStarted
from agent_service.core.retry import RetryOptions
from agent_service.core.run import Run, RunStoppedError, StopReason
from agent_service.programs.context import running
from agent_service.programs.lm.seam import LMSeam, RefusedError
from agent_service.testing import FakeClock, RecordingObserver
from tests.programs.conftest import MODEL, Hang, ScriptedTransport, make_seam, ticks

REQUEST = lm15.Request(model=MODEL, messages=(lm15.Message.user("hello"),))


def down() -> lm15.ServerError:
    """A failure that is worth another try."""
    return lm15.ServerError("down", status=503)


class Bench:
    """A seam that retries, with a breaker that stays closed unless told otherwise."""

    def __init__(self, *replies: str | BaseException | Hang, seconds: float = 30.0, **options: Any) -> None:
        self.clock, self.observer = FakeClock(), RecordingObserver()
        self.transport = ScriptedTransport(*replies)
        options.setdefault("breaker", BreakerOptions(failure_threshold=100))
        options.setdefault("retry", RetryOptions(max_retries=3))
        self.seam: LMSeam = make_seam(
            MODEL, self.transport, clock=self.clock, observer=self.observer, **options
        )
        deadline = Deadline.after(self.clock, seconds)
        self.run = Run(request_id="r1", deadline=deadline, clock=self.clock, observer=self.observer)
        self.began_seconds: list[float] = []
        started = self.clock.monotonic()
        self.transport.on_call = lambda: self.began_seconds.append(self.clock.monotonic() - started)

    async def call(self) -> lm15.Response:
        """One logical call."""
        with running(self.run, None):
            return await self.seam.complete(REQUEST)

    async def end(self) -> asyncio.Task[lm15.Response]:
        """The call, driven through its pauses until it ends."""
        task = asyncio.create_task(self.call())
        await ticks()
        while not task.done():
            self.clock.advance(0.01)
            await ticks(5)
        return task

    def outcomes(self) -> list[str]:
        """How the attempts ended."""
        return [event.outcome for event in self.observer.of(LMCallFinished)]


async def test_a_failure_is_tried_again() -> None:
    """Each attempt is told of with its number; the last one's answer is the call's."""
    at = Bench(down(), lm15.TransportError("reset"), "four")
    task = await at.end()
    assert task.result().text == "four"
    assert [event.attempt for event in at.observer.of(LMCallStarted)] == [1, 2, 3]
    assert at.outcomes() == ["error", "error", "success"]
    assert at.run.usage.lm_calls == 3


async def test_after_the_last_retry_the_upstream_s_error_is_raised() -> None:
    """The number of retries is bounded, and the caller learns what the last attempt failed with."""
    last = lm15.ServerError("last", status=500)
    at = Bench(down(), down(), down(), last)
    task = await at.end()
    assert task.exception() is last
    assert len(at.transport.requests) == 4


async def test_the_pauses_grow_within_their_limits() -> None:
    """Each pause is at most the doubled first one and at most the longest (full jitter)."""
    at = Bench(down(), retry=RetryOptions(max_retries=6, first_delay_seconds=0.5, max_delay_seconds=2.0))
    await at.end()
    began = at.began_seconds
    pauses = [later - earlier for earlier, later in itertools.pairwise(began)]
    assert len(pauses) == 6
    for pause, ceiling in zip(pauses, (0.5, 1.0, 2.0, 2.0, 2.0, 2.0), strict=True):
        assert 0 <= pause <= ceiling + 0.02


@pytest.mark.parametrize(
    "error",
    [
        lm15.InvalidRequestError("bad", status=400),
        lm15.ContextLengthError("long", status=400),
        lm15.AuthError("who", status=401),
        lm15.BillingError("pay", status=402),
        lm15.NotConfiguredError("no key"),
    ],
)
async def test_what_cannot_get_better_is_not_tried_again(error: lm15.LM15Error) -> None:
    """A request that is refused would be refused again."""
    at = Bench(error, "four")
    task = await at.end()
    assert task.exception() is error
    assert len(at.transport.requests) == 1


async def test_a_bug_is_not_tried_again() -> None:
    """What is no error of the upstream's is raised as it is."""
    at = Bench(KeyError("bug"), "four")
    task = await at.end()
    assert isinstance(task.exception(), KeyError)


@pytest.mark.parametrize("kind", [lm15.RateLimitError, lm15.ServerError])
async def test_the_upstream_s_retry_after_is_a_floor(kind: type[lm15.LM15Error]) -> None:
    """We come back no sooner than we were told to."""
    at = Bench(kind("wait", retry_after=7.0), "four")
    task = await at.end()
    assert task.result().text == "four"
    assert 7.0 <= at.began_seconds[1] <= 7.1


async def test_a_retry_after_beyond_the_deadline_ends_the_call_at_once() -> None:
    """Waiting for nothing helps nobody: the error goes up now, with the time to come back."""
    error = lm15.RateLimitError("wait", retry_after=30.0)
    at = Bench(error, "four", seconds=30.0)
    task = await at.end()
    assert task.exception() is error
    assert at.clock.monotonic() == 1000.0


async def test_an_exhausted_budget_allows_no_retry() -> None:
    """Retries are a share of the calls, over time: a storm of failures is not multiplied."""
    at = Bench(down(), retry=RetryOptions(max_retries=1, budget_cap=1.0, budget_ratio=0.25))
    attempts = []
    for _ in range(9):
        before = len(at.transport.requests)
        await at.end()
        attempts.append(len(at.transport.requests) - before)
    assert attempts == [2, 1, 1, 1, 2, 1, 1, 1, 2]


async def test_each_attempt_asks_the_breaker() -> None:
    """A breaker that opens between two attempts ends the call with the upstream's error, not the refusal."""
    error = down()
    at = Bench(error, "four", breaker=BreakerOptions(failure_threshold=1))
    task = await at.end()
    assert task.exception() is error
    assert len(at.transport.requests) == 1
    assert at.seam.breaker.state is BreakerState.OPEN
    assert at.outcomes() == ["error", "refused"]


async def test_the_first_attempt_s_refusal_is_raised() -> None:
    """When nothing was tried, the refusal is all there is to tell; it is not tried again."""
    at = Bench("four", breaker=BreakerOptions(failure_threshold=1))
    at.seam.breaker.ask().failure()
    task = await at.end()
    error = task.exception()
    assert isinstance(error, RefusedError)
    assert isinstance(error.error, CircuitBreakerOpenError)
    assert at.outcomes() == ["refused"]


async def test_a_stop_during_the_pause_ends_it() -> None:
    """Between two attempts a run is as stoppable as during one."""
    at = Bench(lm15.ServerError("wait", retry_after=5.0), "four")
    task = asyncio.create_task(at.call())
    await ticks()
    at.run.stop(StopReason.SHUTDOWN)
    await asyncio.wait({task})
    assert isinstance(task.exception(), RunStoppedError)
    assert len(at.transport.requests) == 1


async def test_an_attempt_that_outlives_the_deadline_is_stopped() -> None:
    """Retries share the run's one deadline."""
    at = Bench(down(), Hang(), seconds=3.0)
    task = await at.end()
    error = task.exception()
    assert isinstance(error, RunStoppedError)
    assert error.reason is StopReason.DEADLINE
    assert at.outcomes() == ["error", "stopped"]
