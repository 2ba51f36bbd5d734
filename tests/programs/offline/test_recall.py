from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_service.programs.offline.recall import Said, conversation_messages, noted, recall

EARLIER = (
    Said("user", "My name is Ada. I like numbers."),
    Said("assistant", "Noted."),
    Said("user", "What is 2+2?"),
    Said("assistant", "4"),
)


def test_a_conversation_is_read_line_by_line() -> None:
    """Speakers are named at the line's start; indented lines belong to the message above them."""
    text = "User: one\n  two\n  User: three\nAssistant: four"
    assert conversation_messages(text) == (Said("user", "one\ntwo\nUser: three"), Said("assistant", "four"))


def test_an_empty_conversation_has_no_messages() -> None:
    """What the program writes for an empty conversation is no message."""
    assert conversation_messages("(nothing yet)") == ()


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What did I ask before?", 'You asked: "My name is Ada. I like numbers."; "What is 2+2?"'),
        ("What did I just ask you?", 'You asked: "What is 2+2?"'),
        ("What was my last question?", 'You asked: "What is 2+2?"'),
        ("what was the first thing, what did I say first", 'You asked: "My name is Ada. I like numbers."'),
        ("What's my name?", "Your name is Ada."),
        ("Who am I?", "Your name is Ada."),
        ("do you remember my name", "Your name is Ada."),
        ("What is my favourite colour?", "You have not told me your favourite colour in this conversation."),
        ("What did you say?", 'I answered: "4"'),
    ],
)
def test_questions_about_the_conversation_are_answered_from_it(question: str, expected: str) -> None:
    """What was asked, told and answered earlier is repeated, nothing is made up."""
    assert recall(question, EARLIER) == expected


def test_with_nothing_before_it_says_so() -> None:
    """The first message of a conversation is told that there is nothing before it."""
    assert recall("What did I ask before?", ()) == (
        "This is the first thing you have asked me in this conversation."
    )
    assert recall("What did you say?", ()) == "I have not answered anything before."


def test_the_newest_statement_wins() -> None:
    """A fact told twice is remembered as it was told last."""
    assert recall("what's my name?", (*EARLIER, Said("user", "Call me Grace"))) == "Your name is Grace."


def test_other_questions_are_no_recall() -> None:
    """A question about the world is not taken for one about the conversation."""
    assert recall("What is 2+2?", EARLIER) is None


def test_a_statement_is_acknowledged() -> None:
    """What users tell about themselves is repeated to them."""
    assert noted("My name is Ada") == "Noted: your name is Ada. Ask me for it later in this conversation."
    assert noted("What is my name?") is None


def test_a_long_message_is_quoted_in_part() -> None:
    """A quote shows the start of a long message and that there is more."""
    quoted = recall("what did I ask", [Said("user", "a" * 500)])
    assert quoted == f'You asked: "{"a" * 200}…"'


@given(st.text(), st.text())
def test_any_text_is_read_without_an_error(question: str, conversation: str) -> None:
    """No question and no conversation makes the reading fail."""
    answered = recall(question, conversation_messages(conversation))
    assert answered is None or answered
