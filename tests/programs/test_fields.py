"""What a caller may send to a program and what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import dspy
import pytest

from agent_service.programs.fields import fields_of
from agent_service.programs.loader import LoadError
from agent_service.programs.specs import spec_of

if TYPE_CHECKING:
    from dspy import Prediction as Unknown

QA = "question -> answer"


def look_up(word: str) -> str:
    """Look a word up."""
    return word


def summary(module: dspy.Module) -> tuple[tuple[str, ...], tuple[str, ...], str | None, str | None]:
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


class Pipeline(dspy.Module):  # type: ignore[misc] # DSPy has no types
    """Steps whose outputs are put together at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.sort = dspy.Predict("text -> label: Literal['a', 'b'], why: str")
        self.score = dspy.ChainOfThought("text -> score: float")

    def forward(self, text: str) -> dspy.Prediction:
        """Never called."""
        return dspy.Prediction(label=self.sort(text=text).label, score=1.0, notes=[text])


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
        (dspy.RLM("text, question -> answer"), (("text", "question"), ("answer",), None, "answer")),
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


class Several(dspy.Module):  # type: ignore[misc] # DSPy has no types
    """Two predictors and no word of its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.plan = dspy.Predict("topic -> plan")
        self.write = dspy.Predict("plan -> text")

    def forward(self, **rest: Any) -> None:
        """Never called."""
        raise NotImplementedError


class Declared(Several):
    """The same with a signature of its own."""

    signature = "topic, length: int -> text"


class Described(dspy.Signature):  # type: ignore[misc] # DSPy has no types
    """A signature with all that can be said of a field."""

    text: str = dspy.InputField(desc="what to shorten")
    words: int = dspy.InputField(ge=1, default=50)
    tone: str = dspy.InputField()
    gist: str = dspy.OutputField(desc="the text in few words")


class Untyped(dspy.Module):  # type: ignore[misc] # DSPy has no types
    """Parameters without types, which a predictor knows."""

    def __init__(self) -> None:
        super().__init__()
        self.predict = dspy.Predict(Described)

    def forward(  # type: ignore[no-untyped-def] # parameters without types, as people write them
        self,
        text,  # noqa: ANN001 - the same
        words=7,  # noqa: ANN001 - the same
        more=None,  # noqa: ANN001 - the same
    ) -> Unknown:
        """Never called."""
        raise NotImplementedError


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (Nothing(), "no signature or predictor"),
        (Several(), "2 predictors; name them there, or give its class a `signature`"),
        (dspy.Predict("a: dspy.Tool -> answer"), "a holds|a is of the type Tool"),
    ],
)
def test_a_program_whose_fields_cannot_be_told_is_refused(module: dspy.Module, says: str) -> None:
    """The message says what to do."""
    with pytest.raises(LoadError, match=says):
        spec_of("p", "m", fields_of(module), ())


@pytest.mark.parametrize(
    ("module", "question", "answer"),
    [
        (dspy.Predict("image: dspy.Image -> answer"), None, "answer"),
        (dspy.Predict("a, b -> answer"), None, "answer"),
        (dspy.Predict("question, context -> answer"), None, "answer"),
        (dspy.Predict("question: int -> answer"), None, "answer"),
        (dspy.Predict("n: int, m: int -> answer"), None, "answer"),
        (dspy.Predict("history: dspy.History -> answer"), None, "answer"),
        (dspy.Predict("text -> a, b"), None, None),
    ],
)
def test_a_program_that_takes_no_question_alone_is_not_plain(
    module: dspy.Module, question: str | None, answer: str | None
) -> None:
    """It is asked by the names of its fields only."""
    spec = spec_of("p", "m", fields_of(module), ())
    assert (spec.is_plain, spec.question_input, spec.answer_output) == (False, question, answer)


def test_a_class_may_declare_its_signature() -> None:
    """For a ``forward`` that names nothing; what it promises is always there."""
    fields = fields_of(Declared())
    assert fields.inputs == {"topic": str, "length": int}
    assert (tuple(fields.outputs), set(fields.promised)) == (("text",), {"text"})


def test_what_a_signature_says_of_fields_is_kept() -> None:
    """Descriptions, defaults and constraints."""
    fields = fields_of(dspy.Predict(Described))
    assert fields.descriptions == {"text": "what to shorten", "gist": "the text in few words"}
    assert (set(fields.optional), dict(fields.defaults)) == ({"words"}, {"words": 50})
    schema = spec_of("p", "m", fields, ()).interface.input_schema["properties"]["words"]
    assert (schema["minimum"], schema["default"]) == (1, 50)


def test_parameters_without_types_have_those_of_the_predictors() -> None:
    """By their names; where none has it, a text is meant. Outputs of a ``forward`` are no promise."""
    fields = fields_of(Untyped())
    assert fields.inputs == {"text": str, "words": int, "more": str}
    assert fields.defaults == {"words": 7, "more": None}
    assert fields.descriptions["text"] == "what to shorten"
    assert fields.promised == frozenset()


def test_the_only_output_may_be_of_any_type() -> None:
    """A program that classifies answers too."""
    signature = dspy.Signature("text -> label").with_updated_fields("label", type_=Literal["good", "bad"])
    assert summary(dspy.Predict(signature))[3] == "label"
    assert summary(dspy.ChainOfThought(signature))[3] == "label"


def test_what_is_returned_by_name_is_what_callers_get() -> None:
    """With the types of the steps that make it; any type where none of them does."""
    fields = fields_of(Pipeline())
    assert fields.outputs == {"label": Literal["a", "b"], "score": float, "notes": Any}
    assert fields.promised == frozenset()
