"""How the store is, said at once: nobody who asks for health waits for a store that hangs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent_service.core.clock import wait_at_most
from agent_service.core.health import Health
from agent_service.runtime.base import OK

if TYPE_CHECKING:
    from agent_service.core.clock import Clock
    from agent_service.memory.base import ConversationStore

PATIENCE_SECONDS = 0.05
"""For the store's answer of now; later the one before it is given. Probes have 0.1 s in all."""

_NAME = "memory"


class MemoryCheck:
    """A health check that answers within ``PATIENCE_SECONDS``, one ping being on its way at a time.

    A store that hangs is told of once its ping has taken a second; until then its last answer stands.
    """

    def __init__(self, *, store: ConversationStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._health = Health({_NAME: self._ping}, clock=clock)
        self._asking: asyncio.Future[None] | None = None
        self._last = OK

    def __repr__(self) -> str:
        return f"<MemoryCheck {self._last}>"

    async def __call__(self) -> str:
        """``ok``, or what is wrong with the store."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._ask())
        await wait_at_most(self._clock, PATIENCE_SECONDS, self._asking)
        return self._last

    async def _ask(self) -> None:
        self._last = (await self._health.report())[_NAME]

    async def _ping(self) -> str:
        await self._store.ping()
        return OK
