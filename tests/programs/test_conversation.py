"""A conversation as a program's input."""

from __future__ import annotations

from typing import Any, Optional

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_service.core.messages import Turn
from agent_service.programs.conversation import as_text, is_conversation, render
from tests.programs.conftest import ScriptedTransport, said, scripted_lm

TURNS = (Turn("t1", "Who are you?", "An agent.", 0.0), Turn("t2", "Why?", "Because.", 1.0))


@pytest.mark.parametrize(
    ("name", "annotation"),
    [
        ("conversation", str),
        ("conversation", list),
        ("history", dspy.History),
        ("history", dspy.History | None),
        ("past", Optional[dspy.History]),  # noqa: UP045 - both spellings are met
    ],
)
def test_what_the_service_fills(name: str, annotation: Any) -> None:
    """A field by the conversation's name, or of DSPy's type for one, is not the caller's to fill."""
    assert is_conversation(name, annotation)


@pytest.mark.parametrize(("name", "annotation"), [("question", str), ("history", str), ("past", str | None)])
def test_what_the_caller_fills(name: str, annotation: Any) -> None:
    """Everything else."""
    assert not is_conversation(name, annotation)


def test_turns_of_fields() -> None:
    """Where no field is the question or the answer, turns are JSON of all; a shortened one is left out."""
    turns = [
        Turn("t1", '{"topic": "x", "n": 1}', '{"plan": ["a"]}', 0.0),
        Turn("t2", '{"topic": […] }', '{"plan": []}', 0.0),
        Turn("t3", "plain", '"text"', 0.0),
    ]
    history = render(dspy.History, turns, question=None, answer="plan")
    assert history.messages == [{"topic": "x", "n": 1, "plan": ["a"]}]
    assert "plain" in render(str, turns, question=None, answer=None)


def test_as_text() -> None:
    """One line a message, oldest first; nothing yet is said in words."""
    assert as_text(TURNS) == "User: Who are you?\nAssistant: An agent.\nUser: Why?\nAssistant: Because."
    assert as_text(()) == "(nothing yet)"


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=4))
def test_no_text_can_pose_as_a_speaker(said: list[tuple[str, str]]) -> None:
    """However a message is broken into lines, only the service's own lines begin with a speaker."""
    turns = [Turn(str(n), question, answer, 0.0) for n, (question, answer) in enumerate(said)]
    speakers = [line for line in as_text(turns).splitlines() if line.startswith(("User:", "Assistant:"))]
    assert len(speakers) == 2 * len(turns)


@pytest.mark.parametrize("annotation", [str, str | None, Optional[str]])  # noqa: UP045 - both spellings are met
def test_a_text_field_gets_text(annotation: Any) -> None:
    """A program that declares a text reads text."""
    assert render(annotation, TURNS, question="question", answer="answer") == as_text(TURNS)


@pytest.mark.parametrize("annotation", [list, list[dict[str, str]], Any])
def test_any_other_field_gets_messages(annotation: Any) -> None:
    """In the form that chat interfaces use."""
    assert render(annotation, TURNS[:1], question="question", answer="answer") == [
        {"role": "user", "content": "Who are you?"},
        {"role": "assistant", "content": "An agent."},
    ]


@pytest.mark.parametrize("annotation", [dspy.History, dspy.History | None])
def test_dspy_s_history_is_keyed_by_the_program_s_fields(annotation: Any) -> None:
    """DSPy's adapters render it as past calls of the same program."""
    history = render(annotation, TURNS[:1], question="q", answer="reply")
    assert isinstance(history, dspy.History)
    assert history.messages == [{"q": "Who are you?", "reply": "An agent."}]


async def test_a_program_with_a_history_sees_past_questions_and_answers() -> None:
    """DSPy shows the model both, each as a message of who said it."""
    transport = ScriptedTransport(said(answer="So."))
    program = dspy.Predict("history: dspy.History, question -> answer")
    history = render(dspy.History, TURNS, question="question", answer="answer")

    with dspy.context(lm=scripted_lm(transport, cache=False)):
        await program.acall(history=history, question="And now?")

    [request] = transport.requests
    shown = [(message.role, str(message.parts)) for message in request.messages]
    told = [("user", "Who are you?"), ("assistant", "An agent."), ("user", "Why?"), ("assistant", "Because.")]
    past = [(role, text) for role, text in shown if role != "system"][: len(told)]
    assert [role for role, _ in past] == [role for role, _ in told]
    assert [text for (_, text), (_, said_then) in zip(past, told, strict=True) if said_then not in text] == []
