"""A conversation as a program's input: text, a list, or DSPy's own History, by the type of its field."""

from __future__ import annotations

import json
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

import dspy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_service.core.messages import Turn

CONVERSATION_FIELD = "conversation"
_EMPTY = "(nothing yet)"
_UNIONS = (Union, UnionType)


def takes(kind: type, annotation: object) -> bool:
    """Whether a field takes ``kind``, alone or as in ``kind | None``."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation is kind or (get_origin(annotation) in _UNIONS and kind in get_args(annotation))


def is_conversation(name: str, annotation: object) -> bool:
    """Whether an input field is filled by the service and not by the caller."""
    return name == CONVERSATION_FIELD or takes(dspy.History, annotation)


def render(annotation: object, turns: Sequence[Turn], *, question: str | None, answer: str | None) -> Any:
    """The turns as a value for a field of type ``annotation``.

    ``question`` and ``answer`` name the program's fields: DSPy's History is keyed by them. When there is none
    for either, the texts of turns are JSON objects of all fields; one that was shortened is no such object
    any more, and its turn is left out of a History.
    """
    if takes(dspy.History, annotation):
        history: Any = dspy.History
        if question is None or answer is None:
            return history(messages=[fields for turn in turns if (fields := _fields_of(turn)) is not None])
        return history(messages=[{question: turn.question, answer: turn.answer} for turn in turns])
    if takes(str, annotation):
        return as_text(turns)
    return [
        message
        for turn in turns
        for message in (
            {"role": "user", "content": turn.question},
            {"role": "assistant", "content": turn.answer},
        )
    ]


def as_text(turns: Sequence[Turn]) -> str:
    """One line a message; what follows a line break is indented, so that no text can pose as a speaker."""
    if not turns:
        return _EMPTY
    return "\n".join(f"{_line('User', turn.question)}\n{_line('Assistant', turn.answer)}" for turn in turns)


def _fields_of(turn: Turn) -> dict[str, Any] | None:
    try:
        inputs, outputs = json.loads(turn.question), json.loads(turn.answer)
    except ValueError:
        return None
    return {**inputs, **outputs} if isinstance(inputs, dict) and isinstance(outputs, dict) else None


def _line(speaker: str, text: str) -> str:
    return f"{speaker}: " + "\n  ".join(text.splitlines())
