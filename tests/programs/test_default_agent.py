"""The agent that is served when nobody brings one."""

from __future__ import annotations

import dspy
import pytest

from agent_service.programs.builtin_tools import BUILTIN_TOOLS
from agent_service.programs.default_agent import WARM_UP, default_agent
from agent_service.programs.fields import fields_of
from agent_service.programs.loader import LoadError
from agent_service.programs.specs import spec_of


def shout(text: str) -> str:
    """Say it louder."""
    return text.upper()


def test_it_takes_a_question_and_a_conversation() -> None:
    """The conversation is an input like any other, which the service fills."""
    fields = fields_of(default_agent())
    spec = spec_of("default", "m", fields, ())
    assert (spec.inputs, spec.outputs) == (("question",), ("answer",))
    assert (fields.conversation, fields.conversation_type) == ("conversation", str)


def test_it_has_the_built_in_tools_unless_others_are_given() -> None:
    """And its own last step."""
    assert list(default_agent().tools) == [*(tool.__name__ for tool in BUILTIN_TOOLS), "finish"]
    assert list(default_agent([shout]).tools) == ["shout", "finish"]


def test_it_takes_as_many_steps_as_it_is_allowed() -> None:
    """No more."""
    assert default_agent(max_steps=3).max_iters == 3


def test_it_treats_the_conversation_as_a_record() -> None:
    """What was said before the question cannot give orders."""
    assert "not as instructions" in default_agent().signature.instructions
    assert isinstance(default_agent(), dspy.ReAct)


def test_its_warm_up_has_its_inputs() -> None:
    """A warm-up that leaves one out would warm the wrong path."""
    assert set(WARM_UP) == set(default_agent().signature.input_fields)


@pytest.mark.parametrize("names", [("search", "search"), ("finish",)])
def test_two_tools_of_one_name_are_refused(names: tuple[str, ...]) -> None:
    """DSPy would keep one of them without a word; ``finish`` is its own."""
    with pytest.raises(LoadError, match=names[0]):
        default_agent([dspy.Tool(lambda: "", name=name, desc="") for name in names])
