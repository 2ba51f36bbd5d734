"""Signatures with a conversation or tools are shown as the model's abilities and DSPy's adapters have it."""

from __future__ import annotations

from typing import Any

import dspy
import pytest

from agent_service.programs.fast.lm_internals import AdapterKind, engines
from agent_service.programs.fast.plans.snapshot import NoPlanError
from agent_service.programs.fast.plans.tool_plan import ToolPlan
from tests.programs.fast.conftest import lm_at_seam
from tests.programs.fast.corpus_types import Chat, Native

NATIVE = AdapterKind(dspy.ChatAdapter, calls_natively=True)


def look(number: int) -> str:
    """Look it up."""
    return str(number)


TOOLS = [dspy.Tool(look)]
VALUES = {"question": "q", "tools": TOOLS}


async def lm_that_can(**able: Any) -> dspy.LM:
    """One at the seam, of these abilities."""
    lm, _ = lm_at_seam("a")
    vars(engines(lm)[0]).update(able)
    return lm


async def test_tools_are_offered_natively_where_the_model_takes_them() -> None:
    """Then neither they nor the calls are in the text."""
    plan = ToolPlan.of(Native, [], NATIVE)
    draft = plan.draft(await lm_that_can(supports_function_calling=True), {}, VALUES)
    assert draft.settings["tools"] == [TOOLS[0].format_as_litellm_function_call()]
    assert list(draft.plan.inputs) == ["question"]
    assert "calls" not in draft.plan.requirements


@pytest.mark.parametrize(("kind", "able"), [(AdapterKind(), True), (NATIVE, False)])
async def test_tools_are_offered_by_text_otherwise(kind: AdapterKind, able: bool) -> None:
    """By the adapter's choice or for the model's sake."""
    draft = ToolPlan.of(Native, [], kind).draft(await lm_that_can(supports_function_calling=able), {}, VALUES)
    assert "tools" not in draft.settings
    assert "look" in draft.plan.question(VALUES)
    assert "calls" in draft.plan.requirements


async def test_what_was_offered_stays_what_it_was() -> None:
    """A tool's schema may be changed in place; the next call is told from it by what it offers."""
    tools = [dspy.Tool(look)]
    plan, values = ToolPlan.of(Native, [], NATIVE), {"question": "q", "tools": tools}
    draft, before = (
        plan.draft(await lm_that_can(supports_function_calling=True), {}, values),
        plan.offered(values),
    )
    tools[0].args["number"]["default"] = 1
    assert before != plan.offered(values)
    assert "default" not in str(draft.settings["tools"])


async def test_what_is_told_of_tools_is_plain_json() -> None:
    """Of anything else DSPy makes what it will."""
    tool = dspy.Tool(look)
    tool.args["number"]["enum"] = (1, 2)
    plan = ToolPlan.of(Native, [], NATIVE)
    with pytest.raises(NoPlanError, match="no plain JSON"):
        plan.draft(await lm_that_can(supports_function_calling=True), {}, {"question": "q", "tools": [tool]})


async def test_the_conversation_is_no_part_of_the_question() -> None:
    """It goes before it."""
    plan = ToolPlan.of(Chat, [], AdapterKind())
    values = {"question": "q", "history": dspy.History(messages=[{"question": "1?", "answer": "one"}])}
    draft = plan.draft(await lm_that_can(), {}, values)
    told = draft.told(values, "m")
    assert told is not None
    assert [message.role for message in told] == ["user", "assistant"]
    assert draft.plan.question(values).startswith("[[ ## question ## ]]\nq\n\nRespond")


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        ("question, image: dspy.Image -> calls: dspy.ToolCalls", "the field image is a Image"),
        ("question -> answer: dspy.Code", "the field answer is a Code"),
        ("question, call: dspy.ToolCalls -> answer", "the field call is a ToolCalls"),
        ("one: dspy.History, other: dspy.History -> answer", "more than one conversation"),
        ("history: dspy.History, config -> answer", "the input config means something else"),
    ],
)
def test_other_types_of_dspys_have_no_plan(signature: str, reason: str) -> None:
    """The reason names the field."""
    with pytest.raises(NoPlanError, match=reason):
        ToolPlan.of(dspy.Signature(signature), [], NATIVE)


async def test_calls_without_tools_are_dspys_error() -> None:
    """It says so at each call."""
    plan = ToolPlan.of(dspy.Signature("question -> calls: dspy.ToolCalls"), [], NATIVE)
    with pytest.raises(NoPlanError, match="DSPy refuses the tools"):
        plan.draft(await lm_that_can(), {}, {"question": "q"})
