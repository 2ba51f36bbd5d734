from __future__ import annotations

import pytest

from agent_service.api.openai.conversation import asked
from agent_service.api.openai.schemas import Message
from agent_service.core.errors import InvalidRequestError


def _messages(*said: tuple[str, str | None]) -> list[Message]:
    return [Message.model_validate({"role": role, "content": content}) for role, content in said]


def test_the_last_message_is_the_question_and_the_others_come_before_it() -> None:
    """Questions and answers become turns, oldest first."""
    found = asked(
        _messages(("user", "1?"), ("assistant", "1."), ("user", "2?"), ("assistant", "2."), ("user", "3?")),
        field="messages",
    )

    assert found.question == "3?"
    assert [(turn.question, turn.answer) for turn in found.before] == [("1?", "1."), ("2?", "2.")]


def test_messages_of_one_speaker_in_a_row_are_one() -> None:
    """Nothing that was said is lost, by whatever rhythm."""
    found = asked(
        _messages(
            ("assistant", "Hello."),
            ("assistant", "How are you?"),
            ("user", "a"),
            ("user", "b"),
            ("assistant", "c"),
            ("assistant", "d"),
            ("user", "e"),
            ("user", "f"),
        ),
        field="messages",
    )

    assert [(turn.question, turn.answer) for turn in found.before] == [
        ("", "Hello.\n\nHow are you?"),
        ("a\n\nb", "c\n\nd"),
    ]
    assert found.question == "e\n\nf"


def test_system_and_developer_messages_instruct_wherever_they_stand() -> None:
    """After the instructions of the request itself; they part no question."""
    found = asked(
        _messages(("system", "S"), ("user", "a"), ("developer", "D"), ("system", None), ("user", "b")),
        field="input",
        instructions="I",
    )

    assert found.instructions == "I\n\nS\n\nD"
    assert found.question == "a\n\nb"
    assert asked(_messages(("user", "a")), field="input").instructions == ""


@pytest.mark.parametrize("said", [[("system", "S")], [("user", "a"), ("assistant", "b")]])
def test_without_a_question_there_is_nothing_to_answer(said: list[tuple[str, str | None]]) -> None:
    """The user has the last word."""
    with pytest.raises(InvalidRequestError) as refused:
        asked(_messages(*said), field="messages")

    assert [(at.field, at.problem) for at in refused.value.fields] == [
        ("messages", "must end with a message of the user")
    ]
