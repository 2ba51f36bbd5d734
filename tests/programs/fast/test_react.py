"""The fast agent's episodes are those of ``dspy.ReAct``, written once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
import pytest
from dspy import lm15

from agent_service.programs.fast import accelerate
from tests.programs.conftest import said

if TYPE_CHECKING:
    from tests.programs.fast.conftest import Sides

ANSWER = said(reasoning="done", answer="4")


def double(number: int) -> Any:
    """Twice the number."""
    return 2 * number


def items(number: int) -> list[Any]:
    """Things that the agent sees as they are later."""
    GROWING.append(str(number))
    return GROWING


GROWING: list[str] = []


def fail(number: int) -> str:
    """It does not work."""
    raise ValueError(f"no {number} in /home/me/file.py")


def agent(**options: Any) -> dspy.Module:
    """A stock agent with these tools."""
    GROWING.clear()
    return dspy.ReAct("question -> answer", tools=[double, items, fail], **options)


def step(tool: str, **arguments: Any) -> str:
    """What the model says to call a tool."""
    quoted = str(arguments).replace("'", '"')
    return said(next_thought="I think.\n", next_tool_name=tool, next_tool_args=quoted)


def _raises(error: Exception) -> Any:
    def reply(_: object) -> None:
        raise error

    return reply


TOO_LONG = _raises(lm15.ContextLengthError("too long"))
EPISODES: dict[str, list[Any]] = {
    "one tool": [step("double", number=2), step("finish"), ANSWER],
    "several": [
        step("double", number=2),
        step("double", number="x"),
        step("fail", number=1),
        step("finish"),
        ANSWER,
    ],
    "no tool": [step("finish"), ANSWER],
    "finish with arguments": [step("finish", answer="4"), ANSWER],
    "unknown argument": [step("double", other=1), step("finish"), ANSWER],
    "an argument called self": [step("double", self=1), step("finish"), ANSWER],
    "observations that grow": [step("items", number=1), step("items", number=2), step("finish"), ANSWER],
    "too long at once": [TOO_LONG],
    "too long later": [step("double", number=1), TOO_LONG, ANSWER],
    "truncated": [step("double", number=1), step("double", number=2), TOO_LONG, step("finish"), ANSWER],
    "too long to the end": [step("double", number=1), step("double", number=2), TOO_LONG],
    "too long to extract": [
        step("double", number=1),
        step("double", number=2),
        step("finish"),
        TOO_LONG,
        ANSWER,
    ],
    "no such tool": [step("triple", number=1), step("triple", number=1)],
    "a wrong value": [_raises(ValueError("no")), ANSWER],
    "the model fails": [step("double", number=1), _raises(lm15.ServerError("down"))],
}


@pytest.mark.parametrize("name", EPISODES)
async def test_episodes_are_dspys(name: str, sides: Sides) -> None:
    """Requests, trajectory, trace, events and errors."""
    assert await sides.differ(agent, *EPISODES[name]) == {}


@pytest.mark.parametrize(
    "inputs", [{"max_iters": 1}, {"max_iters": 0}, {"trajectory": "t"}, {"other": "o"}, {}]
)
async def test_inputs_mean_what_they_mean_to_dspy(inputs: dict[str, Any], sides: Sides) -> None:
    """Its own ones, those that are unknown, and none."""
    asked = {"question": "q", **inputs} if inputs else {}
    assert await sides.differ(agent, *EPISODES["one tool"], inputs=asked) == {}


@pytest.mark.parametrize("name", ["one tool", "several", "truncated", "observations that grow"])
@pytest.mark.usefixtures("no_stock")
async def test_the_short_way_is_taken(name: str, sides: Sides) -> None:
    """A plain episode, its tools' failures included, needs nothing of DSPy's own agent."""
    record = await sides.fast(agent, *EPISODES[name])
    assert record.outcomes[0][0] != "error"


async def test_an_extractor_of_ones_own_is_asked(sides: Sides) -> None:
    """Parts that are not stock keep their place in the episode."""

    class Extract(dspy.Module):  # type: ignore[misc] # untyped
        def forward(self, question: str, trajectory: str) -> Any:
            return dspy.Prediction(answer=f"{question} {len(trajectory)}")

        async def aforward(self, question: str, trajectory: str) -> Any:
            return self.forward(question, trajectory)

    def make() -> dspy.Module:
        made = agent()
        made.extract = Extract()
        return made

    assert await sides.differ(make, *EPISODES["one tool"]) == {}


async def test_tools_learn_who_called(sides: Sides) -> None:
    """DSPy's settings name the agent while its tools work."""
    callers: list[list[str]] = []

    def look() -> str:
        callers.append([type(module).__name__ for module in dspy.settings.caller_modules])
        return "seen"

    def make() -> dspy.Module:
        return dspy.ReAct("question -> answer", tools=[look])

    assert await sides.differ(make, step("look"), step("finish"), ANSWER) == {}
    assert callers == [["ReAct"], ["ReAct"]]


async def test_positional_arguments_are_dspys_error() -> None:
    """The agent takes none."""
    module = agent()
    accelerate(module)
    with pytest.raises(TypeError):
        module("q")
    with pytest.raises(TypeError):
        await module.acall("q")
