"""The contract of a conversation store. Every backend keeps it; one test suite checks it on all of them.

A conversation is a sequence of whole turns. Promises:

* A turn is stored whole or not at all. A commit that returned is as durable as the backend: the in-memory
  store lives with its process, SQLite outlives a killed process and a power cut.
* A commit whose caller was cancelled, or that failed, is stored whole or not at all; the same ``turn_id``
  again settles which.
* ``commit`` is idempotent by ``turn_id`` within a conversation's life: the same id again returns what is
  stored and changes nothing. Remembered are the ids of the last ``2 * max_turns`` turns: those that are
  kept, and as many of those trimmed before, which come back with the place they had and the caller's turn.
* ``seq`` counts from 1 without gaps, in the order of commits. Trimming drops the oldest turns and
  renumbers nothing; an expired or erased conversation begins at 1 again and remembers no ids.
* A conversation expires as a whole, ``ttl_seconds`` after its last commit by the wall clock. Expired turns
  are never returned and not counted by ``erase``. Reading does not prolong; nor does a repeated commit.
* At most ``max_turns`` turns are kept; a backend that says so keeps fewer of very long ones, and always the
  newest. A turn's texts come back exactly as they were given.
* Ids and texts may be any ``str``: NUL, control characters and lone surrogates included, nothing is
  normalised. No turn of another user or session is ever returned, whatever characters the ids hold.
* Concurrent use from many tasks of one event loop is safe, and so are several processes where the backend
  shares its state. What was committed before a read began is seen by it.
* A failure of the backend is raised as ``MemoryUnavailableError`` with its cause; nothing else escapes.
  So is a turn that the backend cannot hold; turns committed at the same time do not suffer from it.
* Calls before ``start`` and after ``close`` raise ``MemoryUnavailableError``; what was accepted before
  ``close`` is finished.

Beside the conversation itself a store keeps two kinds of short-lived records:

* **The turn lease** says who may answer next, so that questions are answered one after the other. It makes
  conversations coherent and guards nothing: a holder that outlives its lease commits all the same, and
  ``base_seq`` tells that another turn came between. One token holds it at a time; taking it again with
  the same token prolongs it; it ends by itself after ``ttl_seconds``. Only its holder can keep it or give
  it back. Taking it tells the conversation as it is at that moment, and a commit can give it back, each in
  one step: a query asks its store twice.
* **Idempotency records** remember, by principal and key, what a request was answered with. One caller at a
  time holds a claim. A claim whose holder is silent for ``running_ttl_seconds`` can be claimed anew and
  keeps its ``turn_id``: when the first holder had committed after all, the second one's commit changes
  nothing. Claiming with another fingerprint changes nothing; the stored fingerprint comes back.
  ``running_ttl_seconds`` has to be longer than a request can take, or a holder that is merely slow could
  abandon another's claim.

``erase`` of a user takes all of this along: conversations, leases, and the idempotency records whose
principal is that user id. Erasing one session leaves idempotency records, which belong to no session; they
end by themselves. A commit at the same time may come after the erasing and begin the conversation anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from agent_service.core.errors import MemoryUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from agent_service.core.messages import ConversationId, StoredTurn, Turn

RETRY_AFTER_SECONDS = 1.0
"""When a caller may try again while a store is not available."""

MAX_RESPONSE_BYTES = 256 * 1024
"""A longer response is not kept with its idempotency record."""


class RecordUnusableError(MemoryUnavailableError):
    """One conversation or record cannot be read or stored; the store as such is well."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What every backend needs to know.

    Attributes:
        ttl_seconds: a conversation's life after its last turn.
        max_turns: turns kept; older ones are trimmed.
    """

    ttl_seconds: float = 24 * 3600.0
    max_turns: int = 100

    def __post_init__(self) -> None:
        if self.ttl_seconds <= 0:
            raise ValueError("ttl_seconds must be positive")
        if self.max_turns < 1:
            raise ValueError("max_turns must be at least 1")


@dataclass(frozen=True, slots=True)
class Window:
    """The last turns of a conversation, oldest first, and the seq of the newest (0 when there is none)."""

    turns: tuple[StoredTurn, ...] = ()
    last_seq: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of a conversation, newest last. ``next_before_seq`` asks for the older ones, or is None."""

    turns: tuple[StoredTurn, ...]
    next_before_seq: int | None


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One live conversation of a user: turns kept, the newest one's seq and when it was answered."""

    session_id: str
    turns: int
    last_seq: int
    last_at_epoch_seconds: float


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A caller's key. It means something only together with who the caller is."""

    principal: str
    key: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What is known of an idempotency key.

    Attributes:
        state: ``new``: the claim is the caller's, go on; ``running``: somebody else's; ``done``: answered.
        fingerprint: of the request that was claimed first.
        turn_id: under which its turn is committed.
        response: what it was answered with; None when not done, or done and too long to keep.
    """

    state: Literal["new", "running", "done"]
    fingerprint: str
    turn_id: str
    response: bytes | None = None


def stretch(first_seq: int, last_seq: int, *, limit: int, before_seq: int | None = None) -> range:
    """The seqs of at most ``limit`` of the kept turns: those before ``before_seq``, or the newest."""
    end = last_seq + 1 if before_seq is None else min(before_seq, last_seq + 1)
    return range(max(first_seq, end - limit), end)


def older_than(seqs: range, first_seq: int) -> int | None:
    """A page's ``next_before_seq``: where ``seqs`` begins, or None when no kept turn is older."""
    return seqs.start if seqs.start > first_seq else None


def unavailable(detail: str | None = None, cause: BaseException | None = None) -> MemoryUnavailableError:
    """The error that every store raises. ``detail`` is for the caller, ``cause`` stays inside."""
    error = MemoryUnavailableError(detail, retry_after_seconds=RETRY_AFTER_SECONDS)
    error.__cause__ = cause
    return error


class ConversationStore(Protocol):
    """Where conversations are kept. See the module's promises."""

    backend: str
    """Name of the backend, for metrics and people: ``memory``, ``sqlite``, ``redis``."""

    def start(self) -> Awaitable[None]:
        """Make ready. Raises ``MemoryUnavailableError`` with a cause that says why it cannot."""

    def close(self) -> Awaitable[None]:
        """Finish what was accepted and let go of everything. Safe to call twice."""

    def ping(self) -> Awaitable[None]:
        """Return when the backend answers; raises ``MemoryUnavailableError`` when it does not."""

    def read(self, conversation: ConversationId, *, last_turns: int) -> Awaitable[Window]:
        """The last ``last_turns`` turns (0 or less gives only ``last_seq``)."""

    def commit(
        self, conversation: ConversationId, turn: Turn, *, base_seq: int, token: str | None = None
    ) -> Awaitable[StoredTurn]:
        """Append ``turn``, which was answered on sight of ``base_seq``. Cancelling does not take it back.

        The same step gives back the turn lease, if ``token`` has it.
        """

    def page(
        self, conversation: ConversationId, *, limit: int, before_seq: int | None = None
    ) -> Awaitable[Page]:
        """At most ``limit`` (from 1) turns that come before ``before_seq``, or the newest."""

    def erase(self, user_id: str, session_id: str | None = None) -> Awaitable[int]:
        """Remove one conversation, or all of a user's; returns how many turns are gone."""

    def sessions(
        self, user_id: str, *, limit: int = 100, after: str | None = None
    ) -> Awaitable[tuple[SessionInfo, ...]]:
        """At most ``limit`` (from 1) live conversations of a user, in a fixed order of their ids.

        ``after``, a session id that need not exist, asks for those behind it; fewer than ``limit`` are the
        last.
        """

    def take_turn(
        self, conversation: ConversationId, *, token: str, ttl_seconds: float, last_turns: int = 0
    ) -> Awaitable[Window | None]:
        """Take the turn lease; what ``read`` gives at that moment, or None when another token has it."""

    def keep_turn(self, conversation: ConversationId, *, token: str, ttl_seconds: float) -> Awaitable[bool]:
        """Prolong the turn lease to ``ttl_seconds`` from now; False when ``token`` has it no longer."""

    def give_turn(self, conversation: ConversationId, *, token: str) -> Awaitable[None]:
        """Give the turn lease back; does nothing when ``token`` has it no longer."""

    def claim(
        self,
        key: IdempotencyKey,
        *,
        fingerprint: str,
        turn_id: str,
        ttl_seconds: float,
        running_ttl_seconds: float,
    ) -> Awaitable[Claim]:
        """Claim ``key`` for the request with ``fingerprint``, or tell who was first.

        The same call again is the same claim: a reply that was lost costs nothing. The record is kept for
        ``ttl_seconds``.
        """

    def finish(
        self, key: IdempotencyKey, *, turn_id: str, response: bytes, ttl_seconds: float
    ) -> Awaitable[bool]:
        """Keep the response of the claim that has ``turn_id``, for ``ttl_seconds`` from now.

        Returns whether the key is answered with a response from now on. False: it is longer than
        ``MAX_RESPONSE_BYTES`` (the key is done, without one), or the claim is gone. The first finish counts.
        """

    def abandon(self, key: IdempotencyKey, *, turn_id: str) -> Awaitable[None]:
        """Forget the claim that has ``turn_id``, because nothing was done; one that is done stays."""
