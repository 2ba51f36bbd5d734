"""What the limits ask of the counters behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from agent_service.access.limits.rate import Rate


DAY_SECONDS = 86_400

PATIENCE_SECONDS = 0.2
"""For one answer of the counters: what a query may wait for them at most."""


class CountersUnavailableError(Exception):
    """Nothing can be counted; the cause says why."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What one rate has counted.

    Attributes:
        used: how many, this one included if it was counted.
        wait_seconds: until the first of them is counted no longer.
    """

    used: int
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class Taken:
    """Whether one more was within all rates and is counted; ``counts`` are those of each rate."""

    is_within: bool
    counts: tuple[Counted, ...]


class Counters(Protocol):
    """Counts by name. A name is at most 100 letters, digits and colons. For one event loop."""

    async def start(self) -> None:
        """Get ready to count; called once.

        Raises:
            CountersUnavailableError: that is not possible at present.
        """

    async def close(self) -> None:
        """Finish what was accepted, and end. Safe to call twice, or before ``start``."""

    async def take(self, name: str, rates: tuple[Rate, ...]) -> Taken:
        """Count one for ``name`` under each of ``rates``, unless one of them is used up: then under none.

        One atomic step, whoever else counts.

        Raises:
            CountersUnavailableError: it is not known whether it was counted.
        """

    async def spend(self, name: str, tokens: int, *, day: int) -> int:
        """Add ``tokens``, from 0, to what ``name`` has spent in ``day``; returns the sum.

        Args:
            name: who spends.
            tokens: how many.
            day: days since the epoch, in UTC. It is kept until the next one has passed.

        Raises:
            CountersUnavailableError: it is not known whether it was added.
        """
