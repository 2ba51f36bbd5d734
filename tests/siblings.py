"""Processes that speak with each other, all in one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent_service.core.siblings import Answers, SiblingsSilentError

if TYPE_CHECKING:
    from agent_service.core.siblings import Deed, Facts


class Sibling:
    """One of a family.

    Attributes:
        family: all of them, this one included.
        notes: what it left, in order.
        is_silent: whether it never answers.
        is_cut_off: whether it can ask nobody.
    """

    are_there = True

    def __init__(self, family: list[Sibling]) -> None:
        self.family = family
        self.notes: list[Facts] = []
        self.is_silent = False
        self.is_cut_off = False
        self._deeds: dict[str, Deed] = {}
        self._posting: set[asyncio.Future[Answers]] = set()
        family.append(self)

    def answer_with(self, what: str, deed: Deed) -> None:
        self._deeds[what] = deed

    async def ask(self, what: str, facts: Facts, *, within_seconds: float) -> Answers:
        if self.is_cut_off:
            raise SiblingsSilentError
        others = [other for other in self.family if other is not self]
        spoken = [await other._deeds[what](facts) for other in others if not other.is_silent]  # noqa: SLF001 - of the same class
        return Answers(tuple(spoken), missing=len(others) - len(spoken))

    def post(self, what: str, facts: Facts) -> None:
        posting = asyncio.ensure_future(self.ask(what, facts, within_seconds=0.0))
        self._posting.add(posting)
        posting.add_done_callback(self._posted)

    def note(self, facts: Facts) -> None:
        self.notes.append(facts)

    def _posted(self, posting: asyncio.Future[Answers]) -> None:
        self._posting.discard(posting)
        posting.exception()


def two() -> tuple[Sibling, Sibling]:
    """A family of two."""
    family: list[Sibling] = []
    return Sibling(family), Sibling(family)
