"""The other processes that serve the same address, as one of them sees them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Facts = Mapping[str, Any]
"""What JSON can say."""

Deed = Callable[[Facts], Awaitable[Facts]]


@dataclass(frozen=True, slots=True)
class Answers:
    """What the siblings said, and how many of them said nothing in time."""

    facts: tuple[Facts, ...]
    missing: int = 0


class Siblings(Protocol):
    """Speaks with the other processes. For one event loop."""

    @property
    def are_there(self) -> bool:
        """Whether there may be any."""

    def answer_with(self, what: str, deed: Deed) -> None:
        """When a sibling asks for ``what``, do ``deed`` with its facts; what it returns is the answer."""

    async def ask(self, what: str, facts: Facts, *, within_seconds: float) -> Answers:
        """Have every sibling do ``what``; one that ends meanwhile is not waited for.

        Raises:
            SiblingsSilentError: they cannot be reached at all.
        """

    def post(self, what: str, facts: Facts) -> None:
        """Have every sibling do ``what``, without waiting for it."""

    def note(self, facts: Facts) -> None:
        """Leave what shall be known of this process should it end; each note replaces the one before."""


class SiblingsSilentError(Exception):
    """Whoever connects the siblings does not answer."""


class _Nobody:
    are_there = False

    def answer_with(self, what: str, deed: Deed) -> None:
        pass

    async def ask(self, what: str, facts: Facts, *, within_seconds: float) -> Answers:  # noqa: ARG002 - nobody hears it
        return Answers(())

    def post(self, what: str, facts: Facts) -> None:
        pass

    def note(self, facts: Facts) -> None:
        pass


ALONE: Siblings = _Nobody()
"""What a single process has."""
