"""Conversations in the memory of one process: for tests, and for a service that may forget at a restart."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from agent_service.core.messages import ConversationId, StoredTurn
from agent_service.memory.base import Page, SessionInfo, Window, older_than, stretch, unavailable
from agent_service.memory.in_memory_claims import Claims, Leases

if TYPE_CHECKING:
    from agent_service.core.clock import Clock
    from agent_service.core.messages import Turn
    from agent_service.memory.base import Claim, IdempotencyKey, StoreOptions

_FORGOTTEN_PER_COMMIT = 2
"""Above one, so that conversations go faster than commits can bring them."""


class InMemoryStore:
    """Keeps the contract of ``memory.base``; nothing outlives the process.

    Args:
        options: life and length of a conversation.
        clock: tells when a conversation expires.
        max_conversations: live conversations held; a commit that would open one more is refused with
            ``MemoryUnavailableError``, because dropping another would break the promise made for it.
    """

    backend = "memory"

    def __init__(self, options: StoreOptions, *, clock: Clock, max_conversations: int = 100_000) -> None:
        self._options = options
        self._clock = clock
        self._max_conversations = max_conversations
        self._open = False
        self._by_last_commit: dict[ConversationId, _Conversation] = {}
        self._leases = Leases(clock=clock)
        self._claims = Claims(clock=clock)

    def __repr__(self) -> str:
        state = "open" if self._open else "closed"
        return f"<InMemoryStore {state}, {len(self._by_last_commit)} conversations>"

    async def start(self) -> None:
        """Accept calls."""
        self._open = True

    async def close(self) -> None:
        """Forget everything."""
        self._open = False
        self._by_last_commit.clear()
        self._leases.clear()
        self._claims.clear()

    async def ping(self) -> None:
        """Return when open."""
        self._check_open()

    async def read(self, conversation: ConversationId, *, last_turns: int) -> Window:
        """See ``ConversationStore``."""
        found = self._live(conversation)
        seqs = stretch(found.first_seq, found.last_seq, limit=last_turns)
        return Window(found.turns_of(seqs), found.last_seq)

    async def commit(
        self, conversation: ConversationId, turn: Turn, *, base_seq: int, token: str | None = None
    ) -> StoredTurn:
        """See ``ConversationStore``."""
        stored = self._append(conversation, turn, base_seq)
        if token is not None:
            self._leases.give(conversation, token)
        return stored

    def _append(self, conversation: ConversationId, turn: Turn, base_seq: int) -> StoredTurn:
        found = self._live(conversation)
        repeated = found.find(turn)
        if repeated is not None:
            return repeated
        self._make_room(conversation)
        self._by_last_commit.pop(conversation, None)
        self._by_last_commit[conversation] = found
        found.expires_at = self._clock.wall() + self._options.ttl_seconds
        return found.append(turn, base_seq, self._options.max_turns)

    async def page(self, conversation: ConversationId, *, limit: int, before_seq: int | None = None) -> Page:
        """See ``ConversationStore``."""
        found = self._live(conversation)
        seqs = stretch(found.first_seq, found.last_seq, limit=limit, before_seq=before_seq)
        return Page(found.turns_of(seqs), older_than(seqs, found.first_seq))

    async def erase(self, user_id: str, session_id: str | None = None) -> int:
        """See ``ConversationStore``."""
        self._check_open()
        erased = [
            key
            for key in self._by_last_commit
            if key.user_id == user_id and session_id in (None, key.session_id)
        ]
        gone = sum(len(self._live(key).kept) for key in erased)
        for key in erased:
            del self._by_last_commit[key]
        self._leases.erase(user_id, session_id)
        if session_id is None:
            self._claims.erase(user_id)
        return gone

    async def sessions(
        self, user_id: str, *, limit: int = 100, after: str | None = None
    ) -> tuple[SessionInfo, ...]:
        """See ``ConversationStore``."""
        self._check_open()
        names = sorted(
            key.session_id
            for key, found in self._by_last_commit.items()
            if key.user_id == user_id
            and (after is None or key.session_id > after)
            and not self._is_expired(found)
        )
        found = [(name, self._by_last_commit[ConversationId(user_id, name)].kept) for name in names[:limit]]
        return tuple(
            SessionInfo(name, len(kept), kept[-1].seq, kept[-1].turn.at_epoch_seconds) for name, kept in found
        )

    async def take_turn(
        self, conversation: ConversationId, *, token: str, ttl_seconds: float, last_turns: int = 0
    ) -> Window | None:
        """See ``ConversationStore``."""
        self._check_open()
        if not self._leases.take(conversation, token, ttl_seconds):
            return None
        return await self.read(conversation, last_turns=last_turns)

    async def keep_turn(self, conversation: ConversationId, *, token: str, ttl_seconds: float) -> bool:
        """See ``ConversationStore``."""
        self._check_open()
        return self._leases.keep(conversation, token, ttl_seconds)

    async def give_turn(self, conversation: ConversationId, *, token: str) -> None:
        """See ``ConversationStore``."""
        self._check_open()
        self._leases.give(conversation, token)

    async def claim(
        self,
        key: IdempotencyKey,
        *,
        fingerprint: str,
        turn_id: str,
        ttl_seconds: float,
        running_ttl_seconds: float,
    ) -> Claim:
        """See ``ConversationStore``."""
        self._check_open()
        return self._claims.claim(
            key,
            fingerprint=fingerprint,
            turn_id=turn_id,
            ttl_seconds=ttl_seconds,
            running_ttl_seconds=running_ttl_seconds,
        )

    async def finish(self, key: IdempotencyKey, *, turn_id: str, response: bytes, ttl_seconds: float) -> bool:
        """See ``ConversationStore``."""
        self._check_open()
        return self._claims.finish(key, turn_id=turn_id, response=response, ttl_seconds=ttl_seconds)

    async def abandon(self, key: IdempotencyKey, *, turn_id: str) -> None:
        """See ``ConversationStore``."""
        self._check_open()
        self._claims.abandon(key, turn_id)

    def _check_open(self) -> None:
        if not self._open:
            raise unavailable("The conversation store is closed.")

    def _live(self, conversation: ConversationId) -> _Conversation:
        """What is kept of ``conversation``, or an empty one that is not yet held."""
        self._check_open()
        found = self._by_last_commit.get(conversation)
        return _Conversation() if found is None or self._is_expired(found) else found

    def _is_expired(self, conversation: _Conversation) -> bool:
        return conversation.expires_at <= self._clock.wall()

    def _make_room(self, conversation: ConversationId) -> None:
        for key in list(islice(self._by_last_commit, _FORGOTTEN_PER_COMMIT)):
            if self._is_expired(self._by_last_commit[key]):
                del self._by_last_commit[key]
        if conversation not in self._by_last_commit and len(self._by_last_commit) >= self._max_conversations:
            raise unavailable("The conversation store is full.")


@dataclass(slots=True)
class _Conversation:
    """The kept turns, oldest first, and the places of all turns whose ids are remembered."""

    kept: deque[StoredTurn] = field(default_factory=deque)
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    last_seq: int = 0
    expires_at: float = 0.0

    @property
    def first_seq(self) -> int:
        return self.last_seq - len(self.kept) + 1

    def turns_of(self, seqs: range) -> tuple[StoredTurn, ...]:
        return tuple(islice(self.kept, seqs.start - self.first_seq, max(0, seqs.stop - self.first_seq)))

    def find(self, turn: Turn) -> StoredTurn | None:
        """The turn that was committed with the same id."""
        if turn.turn_id not in self.places:
            return None
        seq, base_seq = self.places[turn.turn_id]
        return self.kept[seq - self.first_seq] if seq >= self.first_seq else StoredTurn(turn, seq, base_seq)

    def append(self, turn: Turn, base_seq: int, max_turns: int) -> StoredTurn:
        self.last_seq += 1
        stored = StoredTurn(turn, self.last_seq, base_seq)
        self.kept.append(stored)
        self.places[turn.turn_id] = (stored.seq, base_seq)
        if len(self.kept) > max_turns:
            self.kept.popleft()
        if len(self.places) > 2 * max_turns:
            del self.places[next(iter(self.places))]
        return stored
