"""One attempt at the LM seam: what the breaker is told, what listeners hear, how a call is interrupted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from dspy import lm15

from agent_service.core.breaker import Breaker, BreakerOptions, BreakerState
from agent_service.core.clock import Deadline
from agent_service.core.errors import CircuitBreakerOpenError
from agent_service.core.messages import Usage
from agent_service.core.observer import LMCallFinished, LMCallStarted
from agent_service.core.run import Run, RunStoppedError, StopReason
from agent_service.programs.context import running
from agent_service.programs.lm.lean_chat import PlainReply, whole
from agent_service.programs.lm.seam import LMSeam, RefusedError
from agent_service.testing import FakeClock, RecordingObserver
from tests.programs.conftest import MODEL, Hang, ScriptedTransport, make_seam, response, ticks

if TYPE_CHECKING:
    from collections.abc import Coroutine

REQUEST = lm15.Request(model=MODEL, messages=(lm15.Message.user("hello"),))
EMPTY = response("", id=None, usage=lm15.Usage())


@dataclass
class Bench:
    """A seam, what is behind it and who listens."""

    seam: LMSeam
    transport: ScriptedTransport
    clock: FakeClock
    observer: RecordingObserver
    run: Run

    async def call(self) -> lm15.Response:
        """One logical call of the run's."""
        with running(self.run, None):
            return await self.seam.complete(REQUEST)

    def begin(self) -> asyncio.Task[lm15.Response]:
        """The same in a task."""
        return asyncio.create_task(self.call())

    def finished(self) -> LMCallFinished:
        """The one attempt that ended."""
        (event,) = self.observer.of(LMCallFinished)
        assert isinstance(event, LMCallFinished)
        return event


def bench(
    *replies: str | lm15.Response | BaseException | Hang, seconds: float = 60.0, **options: Any
) -> Bench:
    """A seam in front of a script; its breaker opens at the first failure unless told otherwise."""
    clock, observer, transport = FakeClock(), RecordingObserver(), ScriptedTransport(*replies)
    options.setdefault("breaker", BreakerOptions(failure_threshold=1))
    seam = make_seam(MODEL, transport, clock=clock, observer=observer, **options)
    run = Run(request_id="r1", deadline=Deadline.after(clock, seconds), clock=clock, observer=observer)
    return Bench(seam, transport, clock, observer, run)


async def failure_of(work: Coroutine[Any, Any, object] | asyncio.Task[lm15.Response]) -> BaseException:
    """What the coroutine or task raises."""
    task = asyncio.ensure_future(work)
    await asyncio.wait({task})
    error = task.exception()
    assert error is not None
    return error


async def test_an_attempt_is_told_and_counted() -> None:
    """Listeners hear begin and end with model, time and usage; the run's usage holds the call."""
    at = bench("four")
    at.transport.on_call = lambda: at.clock.advance(1.5)

    answer = await at.call()

    usage = Usage(prompt_tokens=10, completion_tokens=5, lm_calls=1)
    assert answer.text == "four"
    assert at.observer.of(LMCallStarted) == [LMCallStarted("r1", MODEL, 1)]
    assert at.finished() == LMCallFinished("r1", MODEL, 1, "success", 1.5, usage)
    assert at.run.usage == usage


async def test_listeners_may_look_at_what_was_asked_and_answered() -> None:
    """As lm15 has both, also of an answer that nobody else wants so; a printed event shows neither."""
    body = {"id": "r-1", "model": "m-1"}
    plain = PlainReply("four", "stop", (10, 5, 15, *[None] * 5), body)
    for reply in (response("four"), plain):
        at = bench(reply)

        await at.call()

        (started,) = at.observer.of(LMCallStarted)
        assert started.request is REQUEST
        read = at.finished().read_response
        assert read is not None
        assert read() == whole(reply)
        assert isinstance(read(), lm15.Response)
        assert "four" not in repr(at.finished())
    assert "request=" not in repr(started)


async def test_unknown_usage_counts_the_call_alone() -> None:
    """A model that reports no tokens still made a call."""
    at = bench(response("four", usage=lm15.Usage()))
    await at.call()
    assert at.run.usage == Usage(lm_calls=1)


FAILURES = [
    (lm15.ServerError("no", status=500), "error"),
    (lm15.ServerError("no", status=529), "error"),
    (lm15.TransportError("reset"), "error"),
    (lm15.LockTimeoutError("locked"), "error"),
    (lm15.TimeoutError("slow", status=504), "timeout"),
    (lm15.ProviderError("not JSON", status=200), "error"),
    (lm15.StreamAssemblyError("torn"), "error"),
    (EMPTY, "error"),
]
SAYS_NOTHING = [
    (lm15.RateLimitError("slow down", status=429), "rate_limited"),
    (lm15.BillingError("pay", status=402), "error"),
    (lm15.BillingError("pay", status=429, provider_code="insufficient_quota"), "error"),
    (lm15.AuthError("who", status=401), "error"),
    (lm15.AuthError("who", status=403), "error"),
    (lm15.NotConfiguredError("no key"), "error"),
    (lm15.UnsupportedFeatureError("no such thing"), "error"),
    (ValueError("a bug"), "error"),
]
ALIVE = [
    (lm15.InvalidRequestError("bad", status=400), "error"),
    (lm15.InvalidRequestError("bad", status=422), "error"),
    (lm15.UnsupportedModelError("which", status=404), "error"),
    (lm15.ContextLengthError("long", status=400), "error"),
    (lm15.ProviderError("teapot", status=418), "error"),
]


@pytest.mark.parametrize(("reply", "outcome"), FAILURES)
async def test_the_upstream_s_failures_are_failures(reply: Any, outcome: str) -> None:
    """What the upstream did wrong opens its breaker, a malformed or empty 200 too."""
    at = bench(reply)
    assert isinstance(await failure_of(at.call()), lm15.LM15Error)
    assert at.seam.breaker.state is BreakerState.OPEN
    assert at.finished().outcome == outcome
    assert at.run.usage == Usage(lm_calls=1)


@pytest.mark.parametrize(("error", "outcome"), SAYS_NOTHING)
async def test_our_own_troubles_say_nothing_of_the_upstream(error: Exception, outcome: str) -> None:
    """Our quota, our key, our bugs neither open the breaker nor count as a success of a probe."""
    at = bench(error, breaker=BreakerOptions(failure_threshold=1, half_open_probes=1))
    half_open(at.seam.breaker, at.clock)
    assert await failure_of(at.call()) is error
    assert at.seam.breaker.state is BreakerState.HALF_OPEN
    assert at.seam.breaker.refusal() is None
    assert at.finished().outcome == outcome


@pytest.mark.parametrize(("error", "outcome"), ALIVE)
async def test_an_upstream_that_refuses_a_request_is_alive(error: Exception, outcome: str) -> None:
    """A caller's request that is refused cannot open the breaker for all; it is a probe's success."""
    at = bench(error, breaker=BreakerOptions(failure_threshold=1, half_open_probes=1))
    half_open(at.seam.breaker, at.clock)
    assert await failure_of(at.call()) is error
    assert at.seam.breaker.state is BreakerState.CLOSED
    assert at.finished().outcome == outcome


def half_open(breaker: Breaker, clock: FakeClock) -> None:
    """Bring a breaker to its half-open state, all probes free."""
    breaker.ask().failure()
    clock.advance(30.0)
    breaker.ask().ignore()
    assert breaker.state is BreakerState.HALF_OPEN


async def test_an_open_breaker_refuses_without_a_call() -> None:
    """While the upstream rests nothing is sent; the refusal says when to come back."""
    at = bench("four")
    at.seam.breaker.ask().failure()

    error = await failure_of(at.call())

    assert isinstance(error, RefusedError)
    assert isinstance(error.error, CircuitBreakerOpenError)
    assert error.error.retry_after_seconds == 30.0
    assert at.transport.requests == []
    assert at.finished() == LMCallFinished("r1", MODEL, 1, "refused", 0.0, Usage())
    assert at.run.usage == Usage()


async def test_our_own_limit_is_an_upstream_timeout() -> None:
    """An attempt that takes longer than one attempt may is cancelled and counted against the upstream."""
    at = bench(Hang(), call_timeout_seconds=5.0)
    task = at.begin()
    await ticks()
    at.clock.advance(5.0)

    assert isinstance(await failure_of(task), lm15.TimeoutError)
    assert at.transport.cancelled == 1
    assert at.seam.breaker.state is BreakerState.OPEN
    assert at.finished().outcome == "timeout"
    assert at.finished().latency_seconds == 5.0


async def test_a_stop_during_the_call_cancels_it() -> None:
    """A stop reaches the transport's coroutine; the upstream is not blamed, the probe's lease is free."""
    at = bench(Hang(), breaker=BreakerOptions(failure_threshold=1, half_open_probes=1))
    half_open(at.seam.breaker, at.clock)
    task = at.begin()
    await ticks()
    assert at.seam.breaker.refusal() is not None

    at.run.stop(StopReason.CALLER_LEFT)

    error = await failure_of(task)
    assert isinstance(error, RunStoppedError)
    assert error.reason is StopReason.CALLER_LEFT
    assert at.transport.cancelled == 1
    assert at.seam.breaker.state is BreakerState.HALF_OPEN
    assert at.seam.breaker.refusal() is None
    assert at.finished().outcome == "stopped"


async def test_a_stopped_run_makes_no_call() -> None:
    """After a stop nothing begins: no event, no permit, no request."""
    at = bench("four")
    at.run.stop(StopReason.SHUTDOWN)
    assert isinstance(await failure_of(at.call()), RunStoppedError)
    assert at.transport.requests == []
    assert at.observer.events == []


async def test_a_run_past_its_deadline_makes_no_call() -> None:
    """The deadline is checked before each call, whether or not a timer fired."""
    at = bench("four", seconds=10.0)
    at.clock.advance(10.0)
    error = await failure_of(at.call())
    assert isinstance(error, RunStoppedError)
    assert error.reason is StopReason.DEADLINE
    assert at.transport.requests == []


async def test_a_deadline_before_the_call_s_limit_is_not_the_upstream_s_fault() -> None:
    """A caller in a hurry cannot open the breaker; where no timer stops the run, the seam does."""
    at = bench(Hang(), seconds=2.0, call_timeout_seconds=5.0)
    task = at.begin()
    await ticks()
    at.clock.advance(2.0)

    error = await failure_of(task)
    assert isinstance(error, RunStoppedError)
    assert error.reason is StopReason.DEADLINE
    assert at.seam.breaker.state is BreakerState.CLOSED
    assert at.finished().outcome == "stopped"


async def test_a_cancellation_by_the_program_passes_through() -> None:
    """A program may cancel its own call: it stays a cancellation, and the upstream is not blamed."""
    at = bench(Hang())
    task = at.begin()
    await ticks()
    task.cancel()
    await asyncio.wait({task})

    assert task.cancelled()
    assert at.transport.cancelled == 1
    assert at.seam.breaker.state is BreakerState.CLOSED
    assert at.finished().outcome == "stopped"
    assert at.run.stop_reason is None


async def test_a_call_outside_of_any_run_has_a_deadline_too() -> None:
    """Code that a program starts beside its runs asks the breaker too, and is told of without an id."""
    at = bench("four")
    answer = await at.seam.complete(REQUEST)
    assert answer.text == "four"
    assert at.observer.of(LMCallStarted) == [LMCallStarted("", MODEL, 1)]


async def test_closing_closes_the_transport() -> None:
    """The seam owns its transport."""
    at = bench("four")
    await at.seam.aclose()
    assert at.transport.closed
    assert repr(at.seam) == (
        f"<LMSeam {MODEL} <Breaker closed, generation 0, 0 probes> "
        "<AdaptiveLimit 0/256 in flight, 0 waiting>>"
    )
