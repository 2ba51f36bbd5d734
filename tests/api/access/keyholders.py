"""Callers for the tests of this room: a door that knows some of them by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.core.caller import Caller
from agent_service.core.errors import ForbiddenError, UnauthorizedError

if TYPE_CHECKING:
    from agent_service.access.base import Use

ASKS: dict[str, Caller] = {
    "anyone": Caller("anyone", frozenset({"query"})),
    "ada": Caller("ada", frozenset({"query"}), user_id="ada"),
    "scraper": Caller("scraper", frozenset({"metrics"})),
    "operator": Caller("operator", frozenset({"admin"})),
}


class Doorkeeper:
    """Knows the bearers of their own names."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def identify(self, credential: str) -> Caller:
        """By name."""
        self.asked.append(credential)
        if credential not in ASKS:
            raise UnauthorizedError("The key is not known.", presented=True)
        return ASKS[credential]


class CountingLimits:
    """Counts who is admitted, and refuses those whom a test names."""

    def __init__(self) -> None:
        self.admitted: list[tuple[str | None, str, Use]] = []
        self.refused: set[str] = set()

    async def admit(self, caller: Caller, user_id: str, use: Use) -> None:
        """Count."""
        if user_id in self.refused:
            raise ForbiddenError
        self.admitted.append((caller.key_id, user_id, use))


def bearer(name: str) -> dict[str, str]:
    """The header of this caller."""
    return {"Authorization": f"Bearer {name}"}
