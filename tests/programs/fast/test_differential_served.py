"""The fast path behind ``DspyProgram``: what a caller of the service gets, and what the run counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
import pytest
from dspy import lm15

from agent_service.core.messages import Turn, Usage
from agent_service.core.run import StopReason
from agent_service.programs.fast import accelerate
from tests.programs.conftest import said
from tests.programs.fast.corpus_agents import too_long
from tests.programs.fast.corpus_programs import Pipeline
from tests.programs.fast.corpus_state import double
from tests.programs.fast.corpus_types import Chat
from tests.programs.fast.differential_case import as_json, step
from tests.programs.fast.differential_describe import described

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.programs.conftest import Served, Serving

QA = "question -> answer"
FOUR = said(reasoning="r", answer="4")
STEPS = [step("double", number=2), step("finish"), FOUR]


def agent() -> Any:
    """DSPy's agent with one tool."""
    return dspy.ReAct(QA, tools=[double])


class Threaded(dspy.Module):  # type: ignore[misc] # DSPy has no types
    """A program that knows only ``forward``, which works in a thread."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.ChainOfThought(QA)
        self.agent = agent()

    def forward(self, question: str) -> Any:
        return self.agent(question=self.answer(question=question).answer)


PROGRAMS: dict[str, tuple[Callable[[], Any], Sequence[Any]]] = {
    "predictor": (lambda: dspy.Predict(QA), [FOUR]),
    "predictor, read again": (lambda: dspy.Predict(QA), ["bad", as_json(answer="4")]),
    "predictor, unreadable": (lambda: dspy.Predict(QA), ["bad"]),
    "thought over": (lambda: dspy.ChainOfThought(QA), [FOUR]),
    "conversation": (lambda: dspy.Predict(Chat), [FOUR]),
    "types": (
        lambda: dspy.Predict(
            "question, facts: list[str] -> answer: str, score: float, table: dict[str, int]"
        ),
        [said(answer="4", score="x"), as_json(answer="4", score=0.5, table={"a": 1})],
    ),
    "agent": (agent, STEPS),
    "agent with a wrong call": (agent, [step("double", count=2), *STEPS[1:]]),
    "agent cut": (agent, [STEPS[0], STEPS[0], too_long(), *STEPS[1:]]),
    "agent cut to nothing": (agent, [too_long()]),
    "threaded": (Threaded, [FOUR, *STEPS]),
    "pipeline": (Pipeline, [FOUR, *STEPS, FOUR, FOUR, said(answer="4", score=1)]),
    "limited": (agent, [STEPS[0], lm15.RateLimitError("slow", status=429, retry_after=3.5)]),
    "refused": (agent, [lm15.AuthError("key", status=401)]),
    "down": (lambda: dspy.Predict(QA), [lm15.ServerError("down", status=500)]),
    "bug": (lambda: dspy.ChainOfThought(QA), [ValueError("a bug")]),
    "empty": (lambda: dspy.Predict(QA), [""]),
}
TURNS = [Turn(turn_id="t", question="1?", answer="one", at_epoch_seconds=1.0)]


async def served(serve: Serving, name: str, *, fast: bool, stop: StopReason | None = None) -> tuple[Any, ...]:
    """All that shows of one query."""
    make, replies = PROGRAMS[name]
    module = make()
    program: Served = await serve(module, *replies)
    if fast:
        accelerate(module)
    run = program.new_run()
    if stop is not None:
        program.transport.on_call = lambda: run.stop(stop) if len(program.transport.requests) > 1 else None
    try:
        outcome: Any = described(await program.ask(run=run, conversation=TURNS))
    except BaseException as error:  # noqa: BLE001 - how a query ends is what is compared
        outcome = described(error)
    events = [(type(event).__name__, getattr(event, "outcome", None)) for event in program.observer.events]
    return outcome, described(program.transport.requests), events, run.usage, run.tools_used, run.answered_by


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_caller_cannot_tell(serve: Serving, name: str) -> None:
    """The same reply or error, from the same requests, with the same events and counts."""
    stock, fast = await served(serve, name, fast=False), await served(serve, name, fast=True)
    assert fast == stock
    assert stock[3] != Usage()


@pytest.mark.parametrize("reason", [StopReason.CALLER_LEFT, StopReason.DEADLINE])
@pytest.mark.parametrize("name", ["agent", "threaded", "pipeline"])
async def test_a_stop_ends_it_at_the_same_place(serve: Serving, name: str, reason: StopReason) -> None:
    """What is in flight ends, nothing begins after it."""
    stock = await served(serve, name, fast=False, stop=reason)
    assert await served(serve, name, fast=True, stop=reason) == stock
    assert len(stock[1][1]) == 2
