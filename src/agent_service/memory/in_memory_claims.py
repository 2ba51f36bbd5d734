"""Turn leases and idempotency records in the memory of one process."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from agent_service.memory.base import MAX_RESPONSE_BYTES, Claim

if TYPE_CHECKING:
    from agent_service.core.clock import Clock
    from agent_service.core.messages import ConversationId
    from agent_service.memory.base import IdempotencyKey

_FORGOTTEN_PER_ADDITION = 2
"""Above one, so that what expired goes faster than new records come."""


class _Expiring(Protocol):
    expires_at: float


_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V", bound=_Expiring)


class _Records(Generic[_K, _V]):
    """Records by key; those that expired are not seen, and go as others come."""

    def __init__(self, *, clock: Clock) -> None:
        self.clock = clock
        self._by_age: dict[_K, _V] = {}

    def get(self, key: _K) -> _V | None:
        found = self._by_age.get(key)
        return found if found is not None and found.expires_at > self.clock.wall() else None

    def put(self, key: _K, value: _V) -> None:
        for old in list(islice(self._by_age, _FORGOTTEN_PER_ADDITION)):
            # A live one moves behind the others, so that it does not hide those that expired.
            candidate = self._by_age.pop(old)
            if candidate.expires_at > self.clock.wall():
                self._by_age[old] = candidate
        self._by_age[key] = value

    def drop(self, key: _K) -> None:
        self._by_age.pop(key, None)

    def keys(self) -> list[_K]:
        return list(self._by_age)

    def clear(self) -> None:
        self._by_age.clear()


@dataclass(slots=True)
class _Lease:
    token: str
    expires_at: float


class Leases:
    """Who may answer next, by conversation."""

    def __init__(self, *, clock: Clock) -> None:
        self._records: _Records[ConversationId, _Lease] = _Records(clock=clock)

    def take(self, conversation: ConversationId, token: str, ttl_seconds: float) -> bool:
        """See ``ConversationStore.take_turn``."""
        held = self._records.get(conversation)
        if held is not None and held.token != token:
            return False
        self._records.put(conversation, _Lease(token, self._records.clock.wall() + ttl_seconds))
        return True

    def keep(self, conversation: ConversationId, token: str, ttl_seconds: float) -> bool:
        """See ``ConversationStore.keep_turn``."""
        held = self._records.get(conversation)
        return held is not None and held.token == token and self.take(conversation, token, ttl_seconds)

    def give(self, conversation: ConversationId, token: str) -> None:
        """See ``ConversationStore.give_turn``."""
        held = self._records.get(conversation)
        if held is not None and held.token == token:
            self._records.drop(conversation)

    def erase(self, user_id: str, session_id: str | None) -> None:
        """Drop the leases of one conversation, or of all of a user's."""
        for key in self._records.keys():  # noqa: SIM118 - a method of ours, not a dict's
            if key.user_id == user_id and session_id in (None, key.session_id):
                self._records.drop(key)

    def clear(self) -> None:
        """Drop all."""
        self._records.clear()


@dataclass(slots=True)
class _Record:
    fingerprint: str
    turn_id: str
    expires_at: float
    runs_until: float
    claimant: str
    done: bool = False
    response: bytes | None = None


class Claims:
    """Idempotency records."""

    def __init__(self, *, clock: Clock) -> None:
        self._records: _Records[IdempotencyKey, _Record] = _Records(clock=clock)

    def claim(
        self,
        key: IdempotencyKey,
        *,
        fingerprint: str,
        turn_id: str,
        ttl_seconds: float,
        running_ttl_seconds: float,
    ) -> Claim:
        """See ``ConversationStore.claim``."""
        now = self._records.clock.wall()
        found = self._records.get(key)
        if found is not None and found.done:
            return Claim("done", found.fingerprint, found.turn_id, found.response)
        if found is not None:
            is_held = found.runs_until > now and found.claimant != turn_id
            if is_held or found.fingerprint != fingerprint:
                return Claim("running", found.fingerprint, found.turn_id)
        kept_id = turn_id if found is None else found.turn_id
        record = _Record(fingerprint, kept_id, now + ttl_seconds, now + running_ttl_seconds, turn_id)
        self._records.put(key, record)
        return Claim("new", fingerprint, kept_id)

    def finish(self, key: IdempotencyKey, *, turn_id: str, response: bytes, ttl_seconds: float) -> bool:
        """See ``ConversationStore.finish``."""
        found = self._records.get(key)
        if found is None or found.turn_id != turn_id:
            return False
        if not found.done:
            found.done = True
            found.response = response if len(response) <= MAX_RESPONSE_BYTES else None
            found.expires_at = self._records.clock.wall() + ttl_seconds
        return found.response is not None

    def abandon(self, key: IdempotencyKey, turn_id: str) -> None:
        """See ``ConversationStore.abandon``."""
        found = self._records.get(key)
        if found is not None and found.turn_id == turn_id and not found.done:
            self._records.drop(key)

    def erase(self, principal: str) -> None:
        """Drop all records of ``principal``."""
        for key in self._records.keys():  # noqa: SIM118 - a method of ours, not a dict's
            if key.principal == principal:
                self._records.drop(key)

    def clear(self) -> None:
        """Drop all."""
        self._records.clear()
