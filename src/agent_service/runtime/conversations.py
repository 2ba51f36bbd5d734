"""Reading and erasing conversations while queries go on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from agent_service.core.clock import wait_at_most
from agent_service.memory.base import unavailable

if TYPE_CHECKING:
    from agent_service.core.clock import Clock
    from agent_service.core.messages import ConversationId
    from agent_service.memory.base import ConversationStore, Page, SessionInfo
    from agent_service.runtime.runner import Runner
    from agent_service.runtime.streams.keeper import EventKeeper

SETTLING_SECONDS = 2.0
"""For turns on their way to be stored, before an erasure gives up."""


class Conversations:
    """The use cases over what is remembered; see ``Remembering``.

    Args:
        store: where conversations are.
        runner: answers queries of the same process.
        clock: where time comes from.
        streams: keeps events of queries, which tell of conversations too.
    """

    def __init__(
        self, *, store: ConversationStore, runner: Runner, clock: Clock, streams: EventKeeper | None = None
    ) -> None:
        self._store = store
        self._streams = streams
        self._runner = runner
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Conversations in {self._store!r}>"

    async def page(self, conversation: ConversationId, *, limit: int, before_seq: int | None = None) -> Page:
        """At most ``limit`` turns that come before ``before_seq``, or the newest."""
        return await self._store.page(conversation, limit=limit, before_seq=before_seq)

    async def erase(self, user_id: str, session_id: str | None = None) -> int:
        """Remove one conversation, or all of a user's; returns how many turns are gone."""
        with self._runner.erasing(user_id, session_id) as commits:
            await self._settled(commits)
            if self._streams is not None:
                await self._streams.erase(user_id, session_id)
            return await self._store.erase(user_id, session_id)

    async def sessions(
        self, user_id: str, *, limit: int, after: str | None = None
    ) -> tuple[SessionInfo, ...]:
        """At most ``limit`` of a user's conversations, those behind ``after``."""
        return await self._store.sessions(user_id, limit=limit, after=after)

    async def _settled(self, commits: set[asyncio.Task[Any]]) -> None:
        """Wait for turns that are being stored: one that came after the erasure would undo it."""
        if not commits:
            return
        settling = asyncio.ensure_future(asyncio.wait(commits))
        try:
            if not await wait_at_most(self._clock, SETTLING_SECONDS, settling):
                raise unavailable("A turn of the conversation is still being stored; nothing was erased.")
        finally:
            settling.cancel()
