"""What happened: operations with what their callers were told, readings, and the histories in the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Conversation(NamedTuple):
    """Whose, and which."""

    user_id: str
    session_id: str


class Turn(NamedTuple):
    """One turn as a history shows it."""

    seq: int
    turn_id: str
    question: str
    answer: str


@dataclass(slots=True)
class Operation:
    """One question; sent once, or again under its key until its outcome is known. Times are monotonic.

    Attributes:
        answers: the text of each answer that was read whole.
        seqs: the place that each of them told.
        acked_seconds: when the first answer was read that said ``stored: true``.
    """

    conversation: Conversation
    question: str
    sent_seconds: float
    key: str | None = None
    answers: list[str] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)
    acked_seconds: float | None = None

    def answered(self, body: dict[str, Any], at_seconds: float) -> None:
        """Note an answer that was read whole."""
        self.answers.append(body["answer"])
        if body["seq"] is not None:
            self.seqs.append(body["seq"])
        if body["stored"] and self.acked_seconds is None:
            self.acked_seconds = at_seconds


@dataclass(frozen=True, slots=True)
class Reading:
    """The newest turns of a conversation as they were read during the run, oldest first."""

    conversation: Conversation
    began_seconds: float
    ended_seconds: float
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class NotStored:
    """What one life of a process said and counted: answers with ``stored: false``, commits that failed."""

    said: int
    counted: float


@dataclass(slots=True)
class History:
    """All of a run. ``final`` has one entry for each process that was asked in the end."""

    operations: list[Operation] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    not_stored: list[NotStored] = field(default_factory=list)
    final: list[dict[Conversation, tuple[Turn, ...]]] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[float, str]] = field(default_factory=list)

    @property
    def acked(self) -> int:
        """Operations whose turn was acknowledged as stored."""
        return sum(operation.acked_seconds is not None for operation in self.operations)
