"""Messages as a question with what was said before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_service.core.errors import FieldProblem, InvalidRequestError
from agent_service.core.messages import Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_service.api.openai.schemas import Message


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client's messages ask.

    Attributes:
        question: the last messages of the user.
        before: the turns before them, oldest first.
        instructions: what the client's system and developer messages say.
    """

    question: str
    before: tuple[Turn, ...]
    instructions: str


def asked(messages: Sequence[Message], *, field: str, instructions: str | None = None) -> Asked:
    """Read ``messages``; ``field`` is their name in the request, ``instructions`` come before theirs.

    Messages of one speaker in a row are one. An answer that nothing was asked before has an empty question.

    Raises:
        InvalidRequestError: the last message is not the user's, so nothing is asked.
    """
    told = [instructions]
    questions: list[str] = []
    before: list[Turn] = []
    for message in messages:
        if message.is_instruction:
            told.append(message.text)
        elif message.role == "user":
            questions.append(message.text)
        elif questions or not before:
            before.append(_turn("\n\n".join(questions), message.text))
            questions.clear()
        else:
            before[-1] = _turn(before[-1].question, f"{before[-1].answer}\n\n{message.text}")
    if not questions:
        problem = FieldProblem(field, "must end with a message of the user")
        raise InvalidRequestError(f"Not valid: {field}.", fields=(problem,))
    return Asked("\n\n".join(questions), tuple(before), "\n\n".join(filter(None, told)))


def _turn(question: str, answer: str) -> Turn:
    return Turn(turn_id="", question=question, answer=answer, at_epoch_seconds=0.0)
