"""Exactly the stock modules of a program become fast, in place."""

from __future__ import annotations

import copy
import sys
from typing import TYPE_CHECKING, Any

import dspy
import pytest

from agent_service.programs.fast import accelerate
from agent_service.programs.fast.predict import FastChainOfThought, FastPredict
from agent_service.programs.fast.react import FastReAct
from tests.programs.conftest import said

if TYPE_CHECKING:
    from tests.programs.conftest import Serving


class Own(dspy.Predict):  # type: ignore[misc] # untyped
    """A predictor that may do anything."""


class Many(dspy.Module):  # type: ignore[misc] # untyped
    """Stock modules and others, in places of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.agent = dspy.ReAct("question -> answer", tools=[])
        self.listed = [dspy.Predict("a -> b"), Own("a -> b")]
        self.keyed = {"x": dspy.ChainOfThought("a -> b")}
        self.again = self.listed[0]
        self.image = dspy.Predict("picture: dspy.Image -> b")

    async def aforward(self, question: str) -> Any:
        """Ask the agent."""
        return await self.agent.acall(question=question)


def test_every_part_is_named_with_what_became_of_it() -> None:
    """By dotted name: fast, or left to DSPy with the reason."""
    report = accelerate(Many())
    assert set(report.fast) == {
        *("self.agent", "self.agent.react", "self.agent.extract", "self.agent.extract.predict"),
        *("self.again", "self.keyed[x]", "self.keyed[x].predict"),
    }
    assert set(report.stock) == {"self", "self.listed[1]", "self.image"}
    assert "Own" in report.stock["self.listed[1]"]
    assert "picture" in report.stock["self.image"]


def test_objects_stay_the_ones_they_are() -> None:
    """Aliases, attributes and what others hold are not broken; only the exact classes change."""
    module = Many()
    before = {name: id(part) for name, part in module.named_sub_modules()}
    accelerate(module)
    assert {name: id(part) for name, part in module.named_sub_modules()} == before
    assert module.again is module.listed[0]
    kinds = [type(part) for part in (module.agent, module.agent.extract, module.again, module.listed[1])]
    assert kinds == [FastReAct, FastChainOfThought, FastPredict, Own]


def test_twice_does_no_harm() -> None:
    """The report is the same."""
    module = Many()
    assert accelerate(module) == accelerate(module)


async def test_tools_at_the_seam_are_accelerated(serve: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in copies; a tool of another class checks as it likes."""

    class Strict(dspy.Tool):  # type: ignore[misc] # untyped
        """One with rules of its own."""

        async def acall(self, **_: Any) -> Any:
            return "strict"

    def look(number: int) -> str:
        return f"seen {number}"

    module = dspy.ReAct("question -> answer", tools=[look, Strict(look, name="strict")])
    await serve(module, "unused")
    accelerate(module)
    monkeypatch.setattr(dspy.Tool, "acall", None)
    for tools in (module.tools, copy.deepcopy(module).tools):
        assert await tools["look"].acall(number=1) == "seen 1"
    assert await module.tools["strict"].acall(number=1) == "strict"


def test_the_report_says_it_in_a_line() -> None:
    """For the log."""
    text = str(accelerate(Many()))
    assert text.startswith("accelerated: self.agent, ")
    assert "self.listed[1]: " in text
    assert "\n" not in text
    assert str(accelerate(Own("a -> b"))).startswith("accelerated: nothing. Left to DSPy: self: ")


def test_dspys_second_agent_keeps_its_loop() -> None:
    """Its steps are accelerated."""
    report = accelerate(dspy.ReActV2("question -> answer", tools=[]))
    assert report.fast == ("self.react",)
    assert "its steps are accelerated" in report.stock["self"]


@pytest.mark.parametrize("is_prepared", [True, False])
async def test_a_prepared_program_compiles_nothing_at_its_first_query(
    serve: Serving, is_prepared: bool
) -> None:
    """Neither requests nor checks of arguments; otherwise it does so then."""

    async def look(number: int) -> str:
        return f"seen {number}"

    module = dspy.ReAct("question -> answer", tools=[look])
    served = await serve(
        module,
        said(next_thought="t", next_tool_name="look", next_tool_args='{"number": 1}'),
        said(next_thought="t", next_tool_name="finish", next_tool_args="{}"),
        said(reasoning="r", answer="4"),
    )
    accelerate(module)
    if is_prepared:
        await served.program.start()
    called: set[str] = set()
    sys.setprofile(lambda frame, event, _: called.add(frame.f_code.co_name) if event == "call" else None)
    try:
        await served.answer()
    finally:
        sys.setprofile(None)
    assert {"request_from_openai_chat", "check_schema"}.isdisjoint(called) is is_prepared
