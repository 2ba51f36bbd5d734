"""A compiled plan writes and reads as DSPy's chat adapter does, as long as it holds."""

from __future__ import annotations

import copy
import threading
from typing import Any, Literal

import dspy
import pytest
from dspy.adapters.types.decision import Noul
from dspy.utils.exceptions import AdapterParseError

from agent_service.programs.fast.plans.plan import Plan
from agent_service.programs.fast.plans.snapshot import NoPlanError
from tests.programs.conftest import said

QA = dspy.Signature("question: str, facts: list[str] -> answer: str, number: int", "Answer.\n  Be brief.")
DEMOS = [
    {"question": "q", "facts": ["a", "b"], "answer": "x", "number": 1},
    dspy.Example(question="only", answer="y"),
    {"question": "left out"},
]
THREADS = threading.Lock()
ASKED = {"question": "What?\n", "facts": ["one", 2]}


@pytest.mark.parametrize("demos", [[], DEMOS], ids=["no demos", "demos"])
def test_the_messages_are_those_of_the_adapter(demos: list[Any]) -> None:
    """System prompt, demonstrations and question, byte for byte."""
    plan = Plan.of(QA, demos)
    messages = [*plan.head, {"role": "user", "content": plan.question(ASKED)}]
    assert messages == dspy.ChatAdapter().format(QA, demos, ASKED)


def test_an_answer_has_the_fields_in_order() -> None:
    """In that of the signature, whatever the model's."""
    plan = Plan.of(QA, [])
    assert list(plan.answer(said(number=3, answer=" a ")).items()) == [("answer", "a"), ("number", 3)]


@pytest.mark.parametrize("answer", ["nothing", said(answer="a"), said(answer="a", number="many")])
def test_an_unreadable_answer_is_the_adapters_error(answer: str) -> None:
    """To the letter, with what was read."""
    with pytest.raises(AdapterParseError) as here:
        Plan.of(QA, []).answer(answer)
    with pytest.raises(AdapterParseError) as there:
        dspy.ChatAdapter().parse(QA, answer)
    assert str(here.value) == str(there.value)
    assert here.value.parsed_result == there.value.parsed_result


def test_a_missing_output_has_its_default() -> None:
    """As the adapter fills it in."""
    signature = QA.append("mood", dspy.OutputField(default="calm"), str)
    assert Plan.of(signature, []).answer(said(answer="a", number=1))["mood"] == "calm"


def test_missing_inputs_have_their_defaults_in_dspys_order() -> None:
    """After those that were given; without one for each field there is no plan to follow."""
    signature = QA.append("place", dspy.InputField(default="here"), str)
    plan = Plan.of(signature, [])
    assert plan.values(dict(ASKED)) == {**ASKED, "place": "here"}
    assert plan.values({"question": "q"}) is None
    assert plan.values({**ASKED, "more": "m"}) is None


@pytest.mark.parametrize(
    ("signature", "demos", "reason"),
    [
        ("question, image: dspy.Image -> answer", [], "the field image is a Image"),
        ("question, images: list[dspy.Image] -> answer", [], "the field images is"),
        ("question, config -> answer", [], "the input config means something else"),
        ("question -> answer", None, "the demonstrations are a NoneType"),
        ("question: list -> answer", [{"question": [THREADS], "answer": "a"}], "cannot be copied"),
        ("question: str -> answer", [{"question": [1, 2], "answer": "a"}], "DSPy cannot write the prompt"),
        ("history: dspy.History, question -> answer", [], "the field history is a History"),
        ("question -> answer: dspy.Code", [], "the field answer is a Code"),
        ("question -> calls: dspy.ToolCalls", [], "the field calls is a ToolCalls"),
        (
            dspy.Signature({"q": (str, dspy.InputField()), "a": (Noul, dspy.OutputField())}),
            [],
            "the field a is a",
        ),
        (
            "question -> answer",
            [dspy.Prediction(question="q", answer="a")],
            "a demonstration is a Prediction",
        ),
        (
            "question -> answer",
            [{"question": object(), "answer": "a"}],
            "the field question of a demonstration",
        ),
        (
            "question -> answer",
            [{"question": "<<CUSTOM-TYPE-START-IDENTIFIER>>", "answer": "a"}],
            "own types",
        ),
    ],
)
def test_what_needs_more_than_plain_values_has_no_plan(signature: Any, demos: Any, reason: str) -> None:
    """The reason names it."""
    with pytest.raises(NoPlanError, match=reason):
        Plan.of(dspy.Signature(signature) if isinstance(signature, str) else signature, demos)


def _reworded(signature: Any, _: list[Any]) -> None:
    signature.instructions = "Other words."


def _described(signature: Any, _: list[Any]) -> None:
    signature.output_fields["answer"].json_schema_extra["desc"] = "in one word"


def _retyped(signature: Any, _: list[Any]) -> None:
    signature.output_fields["answer"].annotation = Literal["a"]


def _with_default(signature: Any, _: list[Any]) -> None:
    signature.input_fields["question"].default = "Why?"


def _more_demos(_: Any, demos: list[Any]) -> None:
    demos.append({"question": "q2", "answer": "a2"})


def _other_value(_: Any, demos: list[Any]) -> None:
    demos[0]["answer"] = "other"


def _changed_value(_: Any, demos: list[Any]) -> None:
    demos[0]["question"].append("more")


def _other_type(_: Any, demos: list[Any]) -> None:
    demos[0] = {**demos[0], "answer": 1.0}


def _other_demo(_: Any, demos: list[Any]) -> None:
    demos[0] = dspy.Prediction(**demos[0])


@pytest.mark.parametrize(
    "change",
    [
        _reworded,
        _described,
        _retyped,
        _with_default,
        _more_demos,
        _other_value,
        _changed_value,
        _other_type,
        _other_demo,
    ],
)
def test_a_plan_holds_until_something_changes_in_place(change: Any) -> None:
    """Optimisers, state that is loaded and users change signatures and demonstrations under us."""
    signature, demos = dspy.Signature("question -> answer"), [{"question": ["q"], "answer": 1}]
    plan = Plan.of(signature, demos)
    assert plan.holds(signature, demos)
    assert plan.holds(signature, copy.deepcopy(demos))
    change(signature, demos)
    assert not plan.holds(signature, demos)


def test_a_plan_holds_for_its_own_signature_only() -> None:
    """An equal one may be changed apart from it."""
    assert not Plan.of(QA, []).holds(QA.with_instructions(QA.instructions), [])
