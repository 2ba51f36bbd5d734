"""A model and its fallbacks: who answers, when the next one is asked, and when not."""

from __future__ import annotations

import pytest
from dspy import lm15

from agent_service.core.breaker import BreakerOptions
from agent_service.core.clock import Deadline
from agent_service.core.observer import FallbackTaken, LMCallStarted
from agent_service.core.run import Run, RunStoppedError, StopReason
from agent_service.programs.context import running
from agent_service.programs.lm.chain import ModelChain
from agent_service.programs.lm.seam import RefusedError
from agent_service.testing import FakeClock, RecordingObserver
from tests.programs.conftest import ScriptedTransport, make_seam

REQUEST = lm15.Request(model="first", messages=(lm15.Message.user("hello"),))
DOWN = lm15.ServerError("down", status=500)


class Bench:
    """Models by the replies of their transports, called in one run."""

    def __init__(self, **replies: str | BaseException) -> None:
        self.clock, self.observer = FakeClock(), RecordingObserver()
        self.transports = {name: ScriptedTransport(reply) for name, reply in replies.items()}
        self.chain = ModelChain(
            [
                make_seam(
                    name,
                    transport,
                    clock=self.clock,
                    observer=self.observer,
                    breaker=BreakerOptions(failure_threshold=1),
                )
                for name, transport in self.transports.items()
            ]
        )
        deadline = Deadline.after(self.clock, 30)
        self.run = Run(request_id="r", deadline=deadline, clock=self.clock, observer=self.observer)

    async def ask(self) -> str:
        with running(self.run, None):
            return str((await self.chain.complete(REQUEST)).text)

    def called(self) -> list[str]:
        return [event.model for event in self.observer.of(LMCallStarted)]

    def taken(self) -> list[tuple[str, str]]:
        return [(event.model, event.to) for event in self.observer.of(FallbackTaken)]


async def test_the_first_model_answers_while_it_can() -> None:
    """Fallbacks are not asked for nothing, and the run knows who answered."""
    at = Bench(first="one", second="two")
    assert await at.ask() == "one"
    assert (at.called(), at.taken(), at.run.answered_by) == (["first"], [], "first")


@pytest.mark.parametrize(
    "error",
    [
        DOWN,
        lm15.RateLimitError("slow down", status=429),
        lm15.AuthError("bad key", status=401),
        lm15.BillingError("no money", status=402),
        lm15.UnsupportedModelError("gone", status=404),
        lm15.TransportError("reset"),
    ],
)
async def test_a_model_that_fails_is_stood_in_for(error: Exception) -> None:
    """In order, each told to the listeners; the request carries the name of the model that is asked."""
    at = Bench(first=error, second=DOWN, third="three")
    assert await at.ask() == "three"
    assert at.called() == ["first", "second", "third"]
    assert at.taken() == [("first", "second"), ("second", "third")]
    assert at.run.answered_by == "third"
    assert at.transports["third"].requests[0].model == "third"


async def test_a_model_whose_breaker_is_open_is_passed_over() -> None:
    """It is left alone, and the next one is asked at once."""
    at = Bench(first=DOWN, second="two")
    await at.ask()
    assert await at.ask() == "two"
    assert at.called() == ["first", "second", "second"]
    assert at.chain.refusal() is None


@pytest.mark.parametrize(
    "error", [lm15.InvalidRequestError("no", status=400), lm15.ContextLengthError("long")]
)
async def test_a_request_that_is_refused_is_not_sent_elsewhere(error: Exception) -> None:
    """What is wrong with it is wrong everywhere, and DSPy's agents shorten what is too long themselves."""
    at = Bench(first=error, second="two")
    with pytest.raises(type(error)):
        await at.ask()
    assert (at.called(), at.taken(), at.run.answered_by) == (["first"], [], "")


async def test_a_stop_is_not_stood_in_for() -> None:
    """A stopped run asks nobody."""
    at = Bench(first="one", second="two")
    at.run.stop(StopReason.DEADLINE)
    with pytest.raises(RunStoppedError):
        await at.ask()
    assert at.called() == []


async def test_when_all_fail_the_last_failure_is_raised_and_when_all_are_open_all_refuse() -> None:
    """Nobody waits for a call that no model can take; the first model's reason is given."""
    at = Bench(first=DOWN, second=lm15.TransportError("reset"))
    with pytest.raises(lm15.TransportError):
        await at.ask()
    refusal = at.chain.refusal()
    assert refusal is not None
    assert refusal.code == "circuit_breaker_open"
    with pytest.raises(RefusedError):
        await at.ask()
    assert repr(at.chain).startswith("<ModelChain [<LMSeam first")


async def test_a_call_of_no_run_is_stood_in_for_too() -> None:
    """There is nobody to tell then."""
    at = Bench(first=DOWN, second="two")
    assert (await at.chain.complete(REQUEST)).text == "two"
