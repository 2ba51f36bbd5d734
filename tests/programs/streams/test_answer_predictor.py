"""Whose reply is told: that of the predictor which writes the program's answer, and of no other."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from dspy import lm15

from agent_service.core.clock import Deadline
from agent_service.core.errors import UpstreamError
from agent_service.core.observer import AnswerDelta
from agent_service.core.run import Run
from agent_service.programs.fast import accelerate
from tests.programs.conftest import Async, Served, Serving, Sync, said
from tests.programs.streams.conftest import StreamingTransport

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


class Draft(dspy.Module):  # type: ignore[misc] # DSPy has no types
    """Two predictors that both give an answer; the second one's counts."""

    def __init__(self) -> None:
        super().__init__()
        self.draft = dspy.Predict("question -> answer")
        self.final = dspy.ChainOfThought("question, draft -> answer")

    async def aforward(self, question: str) -> Any:
        draft = await self.draft.acall(question=question)
        return await self.final.acall(question=question, draft=draft.answer)


def _watched_run(served: Served) -> Run:
    deadline = Deadline.after(served.clock, 30.0)
    return Run(
        request_id="r1", deadline=deadline, clock=served.clock, observer=served.observer, is_watched=True
    )


async def _deltas(
    serve: Serving, module: dspy.Module, *replies: str, accelerated: bool = False
) -> list[AnswerDelta]:
    """What is told while ``module`` answers with an LM that streams."""
    streaming = StreamingTransport(*replies)
    served = await serve(module, "never asked")
    if accelerated:
        accelerate(module)
    served.seams[0].transport = streaming
    await served.ask(run=_watched_run(served))
    return served.observer.of(AnswerDelta)


def _text(deltas: list[AnswerDelta]) -> str:
    return "".join(delta.text for delta in deltas)


async def test_only_the_last_predictor_of_the_answer_is_told(serve: Serving) -> None:
    """A draft is not the answer, though its field has the same name."""
    deltas = await _deltas(serve, Draft(), said(answer="draft"), said(reasoning="r", answer="final"))

    assert _text(deltas) == "final"


async def test_an_agents_answer_comes_from_its_extraction(serve: Serving) -> None:
    """The agent's thoughts are no answer."""

    def look_up(name: str) -> str:
        """Look a name up."""
        return name

    step = said(next_thought="done", next_tool_name="finish", next_tool_args="{}")
    deltas = await _deltas(
        serve, dspy.ReAct("question -> answer", tools=[look_up]), step, said(reasoning="r", answer="final")
    )

    assert _text(deltas) == "final"


FINAL = said(reasoning="r", answer="final")


@pytest.mark.parametrize(
    ("module", "replies"),
    [
        (Draft, [said(answer="draft"), FINAL]),
        (
            lambda: dspy.ReAct("question -> answer", tools=[]),
            [said(next_thought="done", next_tool_name="finish", next_tool_args="{}"), FINAL],
        ),
        (lambda: Sync(lambda self, question: self.answer(question=question)), [said(answer="final")]),
        (
            lambda: dspy.ChainOfThought("question -> answer"),
            ["no fields at all", '{"reasoning": "r", "answer": "final"}'],
        ),
    ],
    ids=["modules", "agent", "sync", "asked again in JSON"],
)
async def test_an_accelerated_program_tells_the_same_and_stays_accelerated(
    serve: Serving, module: Callable[[], dspy.Module], replies: list[str]
) -> None:
    """Watching costs no detour: DSPy's adapter is asked only for what the fast path leaves to it."""
    formatted = inspect.unwrap(dspy.Adapter.format).__code__
    calls: list[str] = []

    def seen(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is formatted:
            calls.append(event)

    program = module()
    await _deltas(serve, program, *replies, accelerated=True)
    again = await _deltas(serve, module(), *replies)
    sys.setprofile(seen)
    try:
        deltas = await _deltas(serve, program, *replies, accelerated=True)
    finally:
        sys.setprofile(None)

    assert _text(deltas) == _text(again) == "final"
    assert len(calls) == ("no fields at all" in replies)


async def test_a_sync_programs_answer_is_told_from_its_thread(serve: Serving) -> None:
    """The call is made on the loop, and knows which predictor it is for."""
    module = Sync(lambda self, question: self.answer(question=question))

    assert _text(await _deltas(serve, module, said(answer="final"))) == "final"


async def test_each_reply_of_the_predictor_has_its_number(serve: Serving) -> None:
    """A program that asks again: followers can tell the replies apart."""

    async def twice(self: Any, question: str) -> Any:
        await self.answer.acall(question=question)
        return await self.answer.acall(question=question)

    deltas = await _deltas(serve, Async(twice), said(answer="first"), said(answer="second"))

    assert [_text([d for d in deltas if d.reply == n]) for n in sorted({d.reply for d in deltas})] == [
        "first",
        "second",
    ]


async def test_a_copy_of_the_program_is_watched_too(serve: Serving) -> None:
    """DSPy's modules that try several times work on copies."""

    async def on_a_copy(self: Any, question: str) -> Any:
        return await self.deepcopy().answer.acall(question=question)

    assert _text(await _deltas(serve, Async(on_a_copy), said(answer="final"))) == "final"


async def test_an_answer_that_is_no_text_is_not_told_in_pieces(serve: Serving) -> None:
    """Of a number or a list nothing can be told before it is whole."""
    module = dspy.Predict("question -> answer: list[int]")

    assert await _deltas(serve, module, said(answer="[1, 2]")) == []


async def test_an_answer_that_breaks_off_is_the_upstreams_failure(serve: Serving) -> None:
    """The caller is told a code; DSPy makes no second attempt in another format."""
    broken = ("[[ ## answer ## ]]\nForty two", lm15.TransportError("reset"))
    streaming = StreamingTransport(broken, said(answer="other"))
    served = await serve(dspy.Predict("question -> answer"), "never asked")
    served.seams[0].transport = streaming

    with pytest.raises(UpstreamError):
        await served.ask(run=_watched_run(served))

    assert streaming.streamed == 1
