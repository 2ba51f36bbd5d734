"""What the outside may ask of the runtime: an answer, what it remembers, and how the service feels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent_service.core.messages import Answer, ConversationId, Query
    from agent_service.core.observer import Observer
    from agent_service.memory.base import Page, SessionInfo

OK = "ok"
"""What a health check says when nothing is wrong."""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The state of one process, for people and load balancers.

    ``status`` is healthy, degraded or unhealthy; ``circuit_breaker_state`` is closed, open or half_open;
    each value of ``checks`` is ``ok`` or says what is wrong.
    """

    status: str
    version: str
    uptime_seconds: float
    agent_pool_size: int
    circuit_breaker_state: str
    model: str
    checks: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """What runs here: ``program`` is the default of ``programs``, ``model`` is its language model."""

    name: str
    version: str
    program: str
    model: str
    programs: tuple[str, ...]


class Answering(Protocol):
    """Answers queries."""

    async def answer(self, query: Query, listener: Observer | None = None) -> Answer:
        """Run the program for ``query`` and keep the turn.

        ``listener`` follows the run: it is told of the run's own events, on whatever thread they happen.
        An answer that was given before has none. Cancelling the call means that the caller left: the run is
        stopped, its LM call included.

        Raises:
            ServiceError: the caller is told its code and detail.
        """


class Remembering(Protocol):
    """Reads and erases what is remembered of a user."""

    async def page(self, conversation: ConversationId, *, limit: int, before_seq: int | None = None) -> Page:
        """At most ``limit`` (from 1) turns that come before ``before_seq``, or the newest.

        Raises:
            MemoryUnavailableError: the store cannot be read.
        """

    async def erase(self, user_id: str, session_id: str | None = None) -> int:
        """Remove one conversation, or all of a user's; returns how many turns are gone.

        Queries of this process that have seen the conversation, or are about to, are stopped: their
        callers are told ``conflict``. None of their turns is stored once the erasure is over.

        Raises:
            MemoryUnavailableError: the store cannot be written, or a turn takes too long to be stored.
        """

    async def sessions(
        self, user_id: str, *, limit: int, after: str | None = None
    ) -> tuple[SessionInfo, ...]:
        """At most ``limit`` (from 1) of a user's conversations, those behind ``after`` in a fixed order.

        Raises:
            MemoryUnavailableError: the store cannot be read.
        """


class Vitals(Protocol):
    """Tells how the service is, and takes the one lever an operator has."""

    async def health(self) -> HealthReport:
        """How the service is, within 0.1 s whatever the store and the queries do."""

    def not_ready_because(self) -> str | None:
        """Why no query should be sent here (starting, draining, no usable slot), or None when ready."""

    def info(self) -> ServiceInfo:
        """What runs here."""

    def reset_circuit_breaker(self) -> str:
        """Close the breaker by hand; returns the state it is in afterwards."""
