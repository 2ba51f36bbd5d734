"""What a program answered, and what it did for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent_service.core.observer import ToolFinished, ToolStarted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent_service.core.messages import Answer, Usage
    from agent_service.core.observer import Event


@dataclass(frozen=True)
class ToolStep:
    """One tool call.

    Attributes:
        tool: its name.
        arguments: as clients of an event stream see them: long ones shortened, secrets masked.
        outcome: ``success``, ``error``, ``timeout`` or ``stopped``.
    """

    tool: str
    arguments: Mapping[str, Any]
    outcome: str


@dataclass(frozen=True)
class ProgramAnswer:
    """What one query gave.

    Attributes:
        text: the plain answer; empty for a program that has none.
        outputs: all output fields as JSON values.
        steps: the tool calls, in order.
        usage: calls of the language model, and tokens at four characters each.
        model: the model that answered.
        seq: the turn's place in the conversation.
    """

    text: str
    outputs: Mapping[str, Any]
    steps: tuple[ToolStep, ...]
    usage: Usage
    model: str
    seq: int | None


def answer_of(answer: Answer, events: Sequence[Event]) -> ProgramAnswer:
    """The answer of a query whose events were ``events``."""
    return ProgramAnswer(
        text=answer.text,
        outputs=answer.outputs or {},
        steps=steps_of(events),
        usage=answer.usage,
        model=answer.model,
        seq=answer.seq,
    )


def steps_of(events: Sequence[Event]) -> tuple[ToolStep, ...]:
    """The tool calls of a query; one that did not end has the outcome ``stopped``."""
    outcomes = {event.step: event.outcome for event in events if isinstance(event, ToolFinished)}
    return tuple(
        ToolStep(event.tool, event.arguments or {}, outcomes.get(event.step, "stopped"))
        for event in events
        if isinstance(event, ToolStarted)
    )
