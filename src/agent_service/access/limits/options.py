"""The limits of callers who have none of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_service.access.limits.rate import Rate


@dataclass(frozen=True, slots=True)
class RateLimitOptions:
    """How much callers may ask for.

    Attributes:
        rates: of a key; of a user where no key is asked for.
        rates_per_user: of a user, whatever the key.
        tokens_per_day: of a key, or of a user where no key is asked for; None for as many as they like.
    """

    rates: tuple[Rate, ...] = ()
    rates_per_user: tuple[Rate, ...] = ()
    tokens_per_day: int | None = None

    def __bool__(self) -> bool:
        """Whether there is any limit."""
        return bool(self.rates or self.rates_per_user or self.tokens_per_day)
