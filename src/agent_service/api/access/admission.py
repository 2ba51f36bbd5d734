"""Whether a caller may go on, asked wherever it is known for whom it asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.access.base import NO_LIMITS
from agent_service.core.caller import CALLER
from agent_service.core.errors import ForbiddenError

if TYPE_CHECKING:
    from agent_service.access.base import Limits, Use


class Admission:
    """The one question that each endpoint asks before its work for a user begins.

    Args:
        limits: how much a caller may ask for.
    """

    def __init__(self, *, limits: Limits = NO_LIMITS) -> None:
        self._limits = limits

    def __repr__(self) -> str:
        return f"<Admission {self._limits!r}>"

    async def admit(self, user_id: str, use: Use = "query") -> None:
        """Let the caller of the current request go on with ``use`` for ``user_id``.

        Raises:
            ForbiddenError: the caller's key belongs to another user.
            RateLimitedError: the caller has asked for too much.
        """
        caller = CALLER.get()
        if not caller.may_ask_for(user_id):
            raise ForbiddenError("This key belongs to another user_id.")
        await self._limits.admit(caller, user_id, use)

    @staticmethod
    def default_user_id(otherwise: str) -> str:
        """Who asks when a request names nobody: the key's user, or the key; without keys ``otherwise``."""
        caller = CALLER.get()
        return caller.user_id or (f"key:{caller.key_id}" if caller.key_id else otherwise)
