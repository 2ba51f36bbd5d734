"""What a caller may send to a program and what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import dspy
import pytest

from agent_service.programs.fields import fields_of, spec_of
from agent_service.programs.loader import LoadError

if TYPE_CHECKING:
    from dspy import Prediction as Unknown

QA = "question -> answer"


def look_up(word: str) -> str:
    """Look a word up."""
    return word


def summary(module: dspy.Module) -> tuple[tuple[str, ...], tuple[str, ...], str, str]:
    """Inputs, outputs, and where question and answer go."""
    spec = spec_of("p", "m", fields_of(module), ())
    return spec.inputs, spec.outputs, spec.question_input, spec.answer_output


class Custom(dspy.Module):  # type: ignore[misc] # DSPy has no types
    """Fields by the parameters of ``forward``, with annotations that are text."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.Predict("context, query -> reply")

    def forward(  # type: ignore[no-untyped-def] # one parameter without a type, as people write them
        self,
        query: str,
        past: dspy.History,
        depth: int = 3,
        style=None,  # noqa: ANN001 - the same
        *,
        where: Unknown | None = None,
        **rest: Any,
    ) -> Unknown:
        """Never called."""
        raise NotImplementedError


class Async(dspy.Module):  # type: ignore[misc] # DSPy has no types
    """The same by ``aforward`` alone."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.ChainOfThought("text, conversation -> summary")

    async def aforward(self, text: str, conversation: list[dict[str, str]]) -> dspy.Prediction:
        """Never called."""
        raise NotImplementedError


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (dspy.Predict(QA), (("question",), ("answer",), "question", "answer")),
        (dspy.Predict("text -> label: bool"), (("text",), ("label",), "text", "label")),
        (dspy.ChainOfThought(QA), (("question",), ("reasoning", "answer"), "question", "answer")),
        (dspy.ChainOfThought("text -> gist"), (("text",), ("reasoning", "gist"), "text", "gist")),
        (dspy.ReAct(QA, tools=[look_up]), (("question",), ("answer",), "question", "answer")),
        (dspy.ReAct("task -> result", tools=[look_up]), (("task",), ("result",), "task", "result")),
        (dspy.ReActV2(QA, tools=[look_up]), (("question",), ("answer",), "question", "answer")),
        (dspy.RLM("text, question -> answer"), (("text", "question"), ("answer",), "question", "answer")),
        (
            dspy.BestOfN(dspy.Predict(QA), N=2, reward_fn=lambda *_: 1.0, threshold=1.0),
            (("question",), ("answer",), "question", "answer"),
        ),
        (Custom(), (("query", "depth", "style", "where"), ("reply",), "query", "reply")),
        (Async(), (("text",), ("reasoning", "summary"), "text", "summary")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_fields(module: dspy.Module, expected: object) -> None:
    """Read from the signature, else from ``forward`` and the last predictor."""
    assert summary(module) == expected


@pytest.mark.filterwarnings("ignore:(CodeAct|ProgramOfThought) is deprecated:DeprecationWarning")
def test_fields_of_modules_with_an_interpreter() -> None:
    """Their interpreter is not a caller's to hand in."""
    expected = (("question",), ("answer",), "question", "answer")
    assert summary(dspy.CodeAct(QA, tools=[look_up])) == expected
    assert summary(dspy.ProgramOfThought(QA)) == expected


def test_conversation_fields() -> None:
    """By type or by name; their type tells how they are filled."""
    assert fields_of(Custom()).conversation == "past"
    assert fields_of(Custom()).conversation_type is dspy.History
    assert fields_of(Async()).conversation_type == list[dict[str, str]]
    fields = fields_of(dspy.Predict("history: dspy.History, question -> answer"))
    assert (fields.conversation, tuple(fields.inputs)) == ("history", ("question",))


def test_types_behind_text_are_found_one_by_one() -> None:
    """A parameter that only a type checker can resolve does not hide the others' types."""
    inputs = fields_of(Custom()).inputs
    assert inputs["query"] is str
    assert inputs["depth"] is int
    assert inputs["style"] is str
    assert inputs["where"] is str


class Nothing(dspy.Module):  # type: ignore[misc] # DSPy has no types
    """A module that says nothing of itself."""

    def forward(self, **rest: Any) -> None:
        """Never called."""
        raise NotImplementedError


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (Nothing(), "no signature or predictor"),
        (dspy.Predict("image: dspy.Image -> answer"), r"inputs \(image\)"),
        (dspy.Predict("a, b -> answer"), r"inputs \(a, b\)"),
        (dspy.Predict("n: int, m: int -> answer"), "inputs"),
        (dspy.Predict("history: dspy.History -> answer"), r"inputs \(none\)"),
        (dspy.Predict("text, n: int -> a, b"), r"outputs \(a, b\)"),
    ],
)
def test_a_program_without_a_place_for_the_question_is_refused(module: dspy.Module, says: str) -> None:
    """The message names the fields there are."""
    with pytest.raises(LoadError, match=says):
        spec_of("p", "m", fields_of(module), ())


def test_the_only_output_may_be_of_any_type() -> None:
    """A program that classifies answers too."""
    signature = dspy.Signature("text -> label").with_updated_fields("label", type_=Literal["good", "bad"])
    assert summary(dspy.Predict(signature))[3] == "label"
    assert summary(dspy.ChainOfThought(signature))[3] == "label"
