"""What an answer tells of the limits.

``RateLimit-Policy`` and ``RateLimit`` are those of the IETF's draft-ietf-httpapi-ratelimit-headers (since its
version 08: structured fields). ``x-ratelimit-*`` are OpenAI's, which its clients read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Quota:
    """One limit, and how much of it is left.

    Attributes:
        name: of the limit, in the headers.
        amount: how much in a window.
        window_seconds: how long that is.
        remaining: how much is left.
        reset_seconds: until there is more.
        unit: requests or tokens.
    """

    name: str
    amount: int
    window_seconds: int
    remaining: int
    reset_seconds: float
    unit: str = "requests"


def headers_of(quotas: Sequence[Quota]) -> dict[str, str]:
    """The headers that tell of ``quotas``; none when there are none."""
    if not quotas:
        return {}
    headers = {
        "RateLimit-Policy": ", ".join(map(_policy, quotas)),
        "RateLimit": ", ".join(f'"{each.name}";r={each.remaining};t={_seconds(each)}' for each in quotas),
    }
    tightest: dict[str, Quota] = {}
    for quota in quotas:
        if quota.unit not in tightest or quota.remaining < tightest[quota.unit].remaining:
            tightest[quota.unit] = quota
    for unit, quota in tightest.items():
        headers[f"x-ratelimit-limit-{unit}"] = str(quota.amount)
        headers[f"x-ratelimit-remaining-{unit}"] = str(quota.remaining)
        headers[f"x-ratelimit-reset-{unit}"] = f"{_seconds(quota)}s"
    return headers


def _policy(quota: Quota) -> str:
    unit = "" if quota.unit == "requests" else f';qu="{quota.unit}"'
    return f'"{quota.name}";q={quota.amount};w={quota.window_seconds}{unit}'


def _seconds(quota: Quota) -> int:
    return max(1, math.ceil(quota.reset_seconds))
