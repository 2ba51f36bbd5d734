"""A language model with a script, as a program meets it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
import pytest

from agent_service.core.errors import UpstreamError, UpstreamRateLimitedError
from agent_service.testing import (
    NEVER,
    ModelRequest,
    ScriptError,
    rate_limited,
    serve_program,
    unavailable,
)

if TYPE_CHECKING:
    from agent_service.testing import Reply


def question() -> dspy.Module:
    return dspy.Predict("question: str, n: int -> answer: str, tags: list[str]")


async def answered(*replies: Reply, program: dspy.Module | None = None, **settings: str) -> Any:
    """All outputs of one query."""
    async with serve_program(program or question(), replies=replies, settings=settings) as served:
        answer = await served.ask("What?", n=1)
        assert served.unused_replies == 0
        return answer.outputs


WHOLE = {"answer": "ä", "tags": ["b", "c"]}


async def test_values_are_written_for_the_adapter_that_asks() -> None:
    """A script says what, not how: DSPy's chat and JSON adapters read the same values."""
    assert await answered(WHOLE) == WHOLE
    with dspy.context(adapter=dspy.JSONAdapter()):
        assert await answered(WHOLE) == WHOLE


async def test_a_text_is_said_as_it_is() -> None:
    """For what models get wrong; here an end without a marker."""
    assert await answered("[[ ## answer ## ]]\nx\n\n[[ ## tags ## ]]\n[]") == {"answer": "x", "tags": []}


async def test_a_function_sees_what_is_asked() -> None:
    """The inputs by name, and the names of the outputs that the reply must have."""
    seen: list[ModelRequest] = []

    def reply(request: ModelRequest) -> Reply:
        seen.append(request)
        return WHOLE

    assert await answered(reply) == WHOLE
    (request,) = seen
    assert (request.inputs, request.outputs) == ({"question": "What?", "n": "1"}, ("answer", "tags"))
    assert "What?" in request.text
    assert "Your input fields are" in request.system


async def test_one_function_may_give_all_replies() -> None:
    """However often it is asked."""
    async with serve_program(question(), replies=lambda _: WHOLE) as served:
        assert [(await served.ask("a", n=1)).text, (await served.ask("b", n=1)).text] == ["ä", "ä"]
        assert [request.inputs["question"] for request in served.requests] == ["a", "b"]


async def test_a_failure_is_tried_again() -> None:
    """By the service's own retry loop, as in production."""
    assert await answered(unavailable(), WHOLE) == WHOLE


@pytest.mark.parametrize(
    ("reply", "error"),
    [(rate_limited(), UpstreamRateLimitedError), (unavailable(), UpstreamError), (NEVER, UpstreamError)],
)
async def test_failures_are_what_callers_are_told(reply: Reply, error: type[Exception]) -> None:
    """A limit, an outage, silence beyond the time of a call."""
    with pytest.raises(error):
        await answered(reply, AGENT_MAX_RETRIES="0", AGENT_LM_TIMEOUT_SECS="0.1")


@pytest.mark.parametrize(
    ("replies", "said"),
    [
        ((), "the script has no reply number 1, which is asked for answer, tags"),
        (({"answer": "x"},), "the program asks for answer, tags; the script's reply has answer"),
    ],
)
async def test_a_script_that_does_not_fit_says_so(replies: tuple[Reply, ...], said: str) -> None:
    """Not as a failure of the model, which the program might hide."""
    with pytest.raises(ScriptError, match=said):
        await answered(*replies)


async def test_a_mistake_that_the_program_hides_is_told() -> None:
    """Else the test would go on about something else; the next query begins anew."""

    class Careless(dspy.Module):  # type: ignore[misc] # DSPy has no types
        def __init__(self) -> None:
            super().__init__()
            self.answer = dspy.Predict("question -> answer")

        async def aforward(self, question: str) -> Any:
            try:
                return await self.answer.acall(question=question)
            except Exception:  # noqa: BLE001 - what it is about
                return dspy.Prediction(answer="never mind")

    replies = [{"wrong": "x"}, {"answer": "right"}]
    async with serve_program(Careless(), replies=replies) as served:
        with pytest.raises(ScriptError):
            await served.ask("What?")
        assert (await served.ask("What?")).text == "right"
