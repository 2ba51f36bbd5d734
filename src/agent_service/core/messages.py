"""The values that travel: who talks, what was said, what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_SESSION_ID = "default"
BASE_VERSION = "base"
"""Of a program as it is in the code, without a saved state."""


@dataclass(frozen=True, slots=True)
class ConversationId:
    """Whose conversation, and which of that user's."""

    user_id: str
    session_id: str = DEFAULT_SESSION_ID


@dataclass(frozen=True, slots=True)
class Usage:
    """What the language model charged for: tokens and calls."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    lm_calls: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.lm_calls + other.lm_calls,
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a query had come when it failed: the tool steps it took, and what its calls cost."""

    reasoning_steps: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class Turn:
    """One question with its answer: whole, or not there at all.

    ``turn_id`` makes a commit idempotent; ``at_epoch_seconds`` is when it was answered.
    """

    turn_id: str
    question: str
    answer: str
    at_epoch_seconds: float
    model: str = ""
    program: str = ""


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """A turn with its place in the conversation.

    ``seq`` counts from 1 without gaps within a conversation's life. ``base_seq`` is the last
    seq that the agent saw when it answered; smaller than ``seq - 1`` means another turn came between.
    """

    turn: Turn
    seq: int
    base_seq: int

    @property
    def forked_from(self) -> int | None:
        """``base_seq`` when other turns came between, else None."""
        return self.base_seq if self.base_seq < self.seq - 1 else None


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a program is asked by the names of its fields.

    Attributes:
        values: as the program takes them.
        text: as the caller sent them: JSON with sorted names. Equal inputs have equal texts.
    """

    values: Mapping[str, Any]
    text: str


@dataclass(frozen=True, slots=True)
class Query:
    """What a caller asks: validated, not yet admitted.

    ``timeout_seconds`` is the caller's own, shorter limit, or None. The same ``idempotency_key`` again asks
    for the same answer. ``turn_id`` is the turn's identity when it is known before the answer.
    ``expected_seq`` is the seq of the last turn the caller knows of, 0 when there is none: at any other the
    query is refused. ``instructions`` are the caller's own, shown before the question and not kept.

    ``program`` is the one that is asked, None the default. It is asked ``question``, or ``inputs`` where
    there are some; then ``question`` is how they stand in the conversation.

    The conversation is what is stored. With ``after_turn_id`` it is that turn, with what it was answered on
    sight of, and then ``before``; when nothing is stored or to be recalled it is ``before`` alone. The newest
    of ``before`` is kept with the answer, when that is.
    """

    request_id: str
    conversation: ConversationId
    question: str
    timeout_seconds: float | None = None
    expected_seq: int | None = None
    turn_id: str | None = None
    idempotency_key: str | None = None
    instructions: str = ""
    before: tuple[Turn, ...] = ()
    after_turn_id: str | None = None
    is_recalled: bool = True
    is_kept: bool = True
    program: str | None = None
    inputs: Inputs | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller gets back, with what it took; ``replayed`` when it was given before, to the same key.

    ``seq`` is the stored turn's place, None when it is not stored. ``outputs`` are the program's as JSON
    values, when it was asked by the names of its fields; ``text`` is the one that is the plain answer, or
    empty. ``program_version`` is that of the program that answered; None when only its turn is known.
    """

    query: Query
    text: str
    model: str
    reasoning_steps: int
    tools_used: tuple[str, ...]
    usage: Usage
    latency_seconds: float
    stored: bool
    degraded: tuple[str, ...] = field(default=())
    seq: int | None = None
    replayed: bool = False
    outputs: Mapping[str, Any] | None = None
    program_version: str | None = None
