"""A rate limit as people write it, such as ``60/minute`` or ``10/second;600/hour``.

What is counted leaves the count when its window has passed (a rolling window), and is kept in sixtieths of
it: a counter of bounded size under which no window ever holds more than the limit, for a place that comes
back up to a sixtieth of the window late.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

TICKS = 60
"""Parts of a window that are counted apart."""

_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_RATE = re.compile(rf"([1-9][0-9]{{0,8}}) ?/ ?({'|'.join(_SECONDS)})")


@dataclass(frozen=True, slots=True)
class Rate:
    """``amount`` queries in each ``unit``: second, minute, hour or day."""

    amount: int
    unit: str

    @property
    def seconds(self) -> int:
        """How long the window is."""
        return _SECONDS[self.unit]

    def tick_at(self, epoch_seconds: float) -> int:
        """The part of a window that is at ``epoch_seconds``."""
        return int(epoch_seconds * TICKS / self.seconds)

    def leaves_at(self, tick: int) -> float:
        """When what was counted in ``tick`` is counted no longer, in seconds of the epoch."""
        return (tick + TICKS + 1) * self.seconds / TICKS


@lru_cache(maxsize=1024)
def parse_rates(text: str) -> tuple[Rate, ...]:
    """The rates in ``text``, which are separated by semicolons.

    Raises:
        ValueError: it is none, or names a unit twice.
    """
    found = [_RATE.fullmatch(part.strip()) for part in text.lower().split(";")]
    rates = tuple(Rate(int(part[1]), part[2]) for part in found if part is not None)
    if len(rates) < len(found) or len({rate.unit for rate in rates}) < len(rates):
        raise ValueError("must be such as 60/minute or 10/second;600/hour")
    return rates


def strictest(*several: tuple[Rate, ...]) -> tuple[Rate, ...]:
    """What holds where all of ``several`` do: the smallest amount for each unit, shortest unit first."""
    by_unit: dict[str, Rate] = {}
    for rate in (rate for rates in several for rate in rates):
        if rate.unit not in by_unit or rate.amount < by_unit[rate.unit].amount:
            by_unit[rate.unit] = rate
    return tuple(sorted(by_unit.values(), key=lambda rate: rate.seconds))
