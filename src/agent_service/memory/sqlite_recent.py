"""The newest turns of conversations that were read or written lately, so that few are read twice."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_service.core.messages import ConversationId, StoredTurn

_MAX_CONVERSATIONS = 1024
_MAX_CHARS = 8192
"""Of one conversation; longer ones are read each time, so that all of them together stay small."""


@dataclass(frozen=True, slots=True)
class Head:
    """A conversation's row: the turns from ``first_seq`` to ``last_seq`` are kept."""

    row_id: int
    first_seq: int
    last_seq: int
    expires_at_epoch_seconds: float

    def kept_from(self, max_turns: int) -> int:
        """The oldest seq to show, also when ``max_turns`` was lowered since the last commit."""
        return max(self.first_seq, self.last_seq - max_turns + 1)


@dataclass(frozen=True, slots=True)
class _Known:
    """The last of a conversation's turns, at most ``limit``, as they were when its row was ``head``."""

    head: Head
    turns: tuple[StoredTurn, ...]
    limit: int


class RecentTurns:
    """Turns that are known of conversations, by their rows. For one thread.

    A stored turn never changes, and a row that is as it was, with the same newest turn, has the same turns.
    Who finds both in the file may take the others from here, whatever other processes did meanwhile.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[ConversationId, _Known] = OrderedDict()

    def __repr__(self) -> str:
        return f"<RecentTurns of {len(self._known)} conversations>"

    def find(self, conversation: ConversationId, head: Head, seqs: range) -> tuple[StoredTurn, ...]:
        """The turns with ``seqs``, which end with the newest; none when not all of them are known."""
        known = self._known.get(conversation)
        if known is None or known.head != head or known.turns[0].seq > seqs.start:
            return ()
        return known.turns[-len(seqs) :]

    def note(
        self, conversation: ConversationId, head: Head, turns: tuple[StoredTurn, ...], limit: int
    ) -> None:
        """``turns``, one at least, are the last ones; as others come, no more than ``limit`` are kept."""
        if sum(len(stored.turn.question) + len(stored.turn.answer) for stored in turns) > _MAX_CHARS:
            self._known.pop(conversation, None)
            return
        self._known[conversation] = _Known(head, turns, limit)
        self._known.move_to_end(conversation)
        if len(self._known) > _MAX_CONVERSATIONS:
            self._known.popitem(last=False)

    def append(self, conversation: ConversationId, before: Head, after: Head, stored: StoredTurn) -> None:
        """One more turn has made ``after`` of ``before``."""
        known = self._known.get(conversation)
        if known is not None and known.head == before:
            turns = (*known.turns, stored)[-known.limit :]
            self.note(conversation, after, turns, known.limit)

    def forget(self, user_id: str, session_id: str | None) -> None:
        """Keep nothing of a conversation that is erased, or of any of the user's."""
        for known in list(self._known):
            if known.user_id == user_id and session_id in {None, known.session_id}:
                del self._known[known]
