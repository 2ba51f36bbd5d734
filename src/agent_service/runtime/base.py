"""What the outside may ask of the runtime: an answer, and how the service feels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent_service.core.messages import Answer, Query

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
    """What runs here."""

    name: str
    version: str
    program: str
    model: str


class Answering(Protocol):
    """Answers queries."""

    async def answer(self, query: Query) -> Answer:
        """Run the program for ``query`` and keep the turn.

        Cancelling the call means that the caller left: the run is stopped, its LM call included.

        Raises:
            ServiceError: the caller is told its code and detail.
        """


class Vitals(Protocol):
    """Tells how the service is, and takes the one lever an operator has."""

    async def health(self) -> HealthReport:
        """Run all checks within their time limits."""

    def not_ready_because(self) -> str | None:
        """Why no query should be sent here (starting, draining, no usable slot), or None when ready."""

    def info(self) -> ServiceInfo:
        """What runs here."""

    def reset_circuit_breaker(self) -> str:
        """Close the breaker by hand; returns the state it is in afterwards."""
