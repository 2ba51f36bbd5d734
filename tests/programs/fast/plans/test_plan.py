"""A compiled plan writes and reads as DSPy's chat adapter does, as long as it holds."""

from __future__ import annotations

import threading
from typing import Any

import dspy
import pytest
from dspy.adapters.types.decision import Noul
from dspy.utils.exceptions import AdapterParseError

from agent_service.programs.fast.lm_internals import AdapterKind
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


KINDS = [AdapterKind(), AdapterKind(dspy.JSONAdapter, calls_natively=True)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("demos", [[], DEMOS], ids=["no demos", "demos"])
def test_the_messages_are_those_of_the_adapter(demos: list[Any], kind: AdapterKind) -> None:
    """System prompt, demonstrations and question, byte for byte."""
    plan = Plan.of(QA, demos, kind)
    messages = [*plan.head, {"role": "user", "content": plan.question(ASKED)}]
    assert messages == kind.make().format(QA, demos, ASKED)


def test_an_answer_in_json_has_the_fields_in_order() -> None:
    """In that of the signature, and nothing else."""
    plan = Plan.of(QA, [], KINDS[1])
    read = plan.answer('{"number": "3", "more": 1, "answer": "a"}')
    assert list(read.items()) == [("answer", "a"), ("number", 3)]
    with pytest.raises(AdapterParseError) as here:
        plan.answer('{"number": 3}')
    with pytest.raises(AdapterParseError) as there:
        dspy.JSONAdapter().parse(QA, '{"number": 3}')
    assert str(here.value) == str(there.value)


def test_an_input_that_may_be_none_may_be_missing() -> None:
    """DSPy leaves it out of the message without a word."""
    plan = Plan.of(dspy.Signature("question: Optional[str], place -> answer"), [], AdapterKind())
    values = plan.values({"place": "here"})
    assert values == {"place": "here"}
    assert plan.question(values).startswith("[[ ## place ## ]]")


def test_an_answer_has_the_fields_in_order() -> None:
    """In that of the signature, whatever the model's."""
    plan = Plan.of(QA, [], AdapterKind())
    assert list(plan.answer(said(number=3, answer=" a ")).items()) == [("answer", "a"), ("number", 3)]


@pytest.mark.parametrize("answer", ["nothing", said(answer="a"), said(answer="a", number="many")])
def test_an_unreadable_answer_is_the_adapters_error(answer: str) -> None:
    """To the letter, with what was read."""
    with pytest.raises(AdapterParseError) as here:
        Plan.of(QA, [], AdapterKind()).answer(answer)
    with pytest.raises(AdapterParseError) as there:
        dspy.ChatAdapter().parse(QA, answer)
    assert str(here.value) == str(there.value)
    assert here.value.parsed_result == there.value.parsed_result


def test_a_missing_output_has_its_default() -> None:
    """As the adapter fills it in."""
    signature = QA.append("mood", dspy.OutputField(default="calm"), str)
    assert Plan.of(signature, [], AdapterKind()).answer(said(answer="a", number=1))["mood"] == "calm"


def test_missing_inputs_have_their_defaults_in_dspys_order() -> None:
    """After those that were given; without one for each field there is no plan to follow."""
    signature = QA.append("place", dspy.InputField(default="here"), str)
    plan = Plan.of(signature, [], AdapterKind())
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
        ("tools: list[dspy.Tool], question -> answer", [], "the field tools is"),
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
        Plan.of(dspy.Signature(signature) if isinstance(signature, str) else signature, demos, AdapterKind())


def test_a_plan_holds_for_its_own_signature_and_a_list_of_demos_only() -> None:
    """An equal one may be changed apart from it."""
    plan = Plan.of(QA, [], AdapterKind())
    assert plan.holds(QA, [])
    assert not plan.holds(QA.with_instructions(QA.instructions), [])
    assert not plan.holds(QA, None)
