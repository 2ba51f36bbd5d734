"""Who asks, and what they may do."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

Scope = Literal["query", "metrics", "admin"]

ALL_SCOPES: frozenset[Scope] = frozenset({"query", "metrics", "admin"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: a key or a token's subject, or nobody in particular where none is asked for.

    Attributes:
        key_id: the public name of the key or token, for logs and limits; None where none is asked for.
        scopes: what it may do.
        user_id: the only user it may ask for; None for any.
        rate_limit: its own limit instead of the service's, such as ``60/minute``.
        tokens_per_day: language model tokens it may use in a day; None for as many as it likes.
    """

    key_id: str | None = None
    scopes: frozenset[Scope] = ALL_SCOPES
    user_id: str | None = None
    rate_limit: str | None = None
    tokens_per_day: int | None = None

    def may_ask_for(self, user_id: str) -> bool:
        """Whether it may read, write and erase what is kept of ``user_id``."""
        return self.user_id is None or self.user_id == user_id


ANYBODY = Caller()
"""The caller of a service that asks for no keys."""

CALLER: ContextVar[Caller] = ContextVar("caller", default=ANYBODY)
"""Who sent the request that the current task serves."""
