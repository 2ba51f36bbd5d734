"""When to try again, and when that would only feed a storm.

Delays are "full jitter" (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015); the
budget is a token bucket that first attempts fill and retries drain (Google SRE book, "Handling Overload").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """How often and how patiently.

    Attributes:
        max_retries: attempts after the first one.
        first_delay_seconds: upper bound of the first pause; it doubles with each retry.
        max_delay_seconds: upper bound of any pause that we choose ourselves.
        budget_ratio: retries allowed per first attempt, over time.
        budget_cap: retries that may be saved up.
    """

    max_retries: int = 3
    first_delay_seconds: float = 0.25
    max_delay_seconds: float = 4.0
    budget_ratio: float = 0.1
    budget_cap: float = 10.0

    def __post_init__(self) -> None:
        if self.max_retries < 0:
            raise ValueError("max_retries must not be negative")
        if not 0 < self.first_delay_seconds <= self.max_delay_seconds:
            raise ValueError("delays must be positive, the first no longer than the longest")
        if self.budget_ratio < 0 or self.budget_cap < 1:
            raise ValueError("the budget must allow at least one retry")


class RetryPolicy:
    """Decides each retry of one upstream.

    Takes no lock: it belongs to the event loop's thread, and to another one only while that thread is
    blocked waiting for it, as it is when code on the loop calls its language model synchronously.
    """

    def __init__(self, options: RetryOptions, *, random: random.Random) -> None:
        self._options = options
        self._random = random
        self._budget = options.budget_cap

    def __repr__(self) -> str:
        return f"<RetryPolicy {self._budget:.1f} of {self._options.budget_cap:g} retries saved>"

    @property
    def budget(self) -> float:
        """Retries saved up, from 0 to ``budget_cap``; below 1 there is none to be had."""
        return self._budget

    def first_attempt(self) -> None:
        """Note that a call begins; it earns a share of a retry."""
        self._budget = min(self._options.budget_cap, self._budget + self._options.budget_ratio)

    def pause_seconds(
        self, retry: int, *, remaining_seconds: float, retry_after_seconds: float | None = None
    ) -> float | None:
        """How long to wait before retry number ``retry`` (from 1), or None when there is to be none.

        An upstream's ``retry_after_seconds`` is a floor; one that does not fit
        ``remaining_seconds`` means giving up.
        """
        if retry > self._options.max_retries or self._budget < 1:
            return None
        ceiling = min(self._options.max_delay_seconds, self._options.first_delay_seconds * 2 ** (retry - 1))
        pause = max(retry_after_seconds or 0.0, self._random.uniform(0, ceiling))
        if pause >= remaining_seconds:
            return None
        self._budget -= 1
        return pause
