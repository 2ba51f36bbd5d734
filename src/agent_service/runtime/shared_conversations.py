"""Conversations that several processes serve: an erasure holds in all of them."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from agent_service.core.clock import wait_at_most
from agent_service.core.siblings import SiblingsSilentError
from agent_service.memory.base import unavailable
from agent_service.runtime.conversations import SETTLING_SECONDS

if TYPE_CHECKING:
    from agent_service.core.clock import Clock
    from agent_service.core.messages import ConversationId
    from agent_service.core.siblings import Facts, Siblings
    from agent_service.memory.base import Page, SessionInfo
    from agent_service.runtime.base import Remembering
    from agent_service.runtime.runner import Runner

HOLD_SECONDS = 60.0
"""The longest that a sibling keeps queries from a conversation: whoever erases it may have died."""

_MARGIN_SECONDS = 0.5
_BEGIN, _END = "begin_erasure", "end_erasure"


class SharedConversations:
    """``Remembering`` whose erasures stop the queries of the siblings too.

    Args:
        conversations: those of this process.
        runner: answers queries of this process.
        siblings: the other processes.
        clock: where time comes from.
    """

    def __init__(
        self, conversations: Remembering, *, runner: Runner, siblings: Siblings, clock: Clock
    ) -> None:
        self._conversations = conversations
        self._runner = runner
        self._siblings = siblings
        self._clock = clock
        self._held: dict[str, ExitStack] = {}
        siblings.answer_with(_BEGIN, self._hold)
        siblings.answer_with(_END, self._let_go)

    def __repr__(self) -> str:
        return f"<SharedConversations {self._conversations!r}, {len(self._held)} held for siblings>"

    async def page(self, conversation: ConversationId, *, limit: int, before_seq: int | None = None) -> Page:
        """At most ``limit`` turns that come before ``before_seq``, or the newest."""
        return await self._conversations.page(conversation, limit=limit, before_seq=before_seq)

    async def sessions(
        self, user_id: str, *, limit: int, after: str | None = None
    ) -> tuple[SessionInfo, ...]:
        """At most ``limit`` of a user's conversations, those behind ``after``."""
        return await self._conversations.sessions(user_id, limit=limit, after=after)

    async def erase(self, user_id: str, session_id: str | None = None) -> int:
        """Remove one conversation, or all of a user's; returns how many turns are gone."""
        facts = {"erasure": str(uuid.uuid4()), "user_id": user_id, "session_id": session_id}
        try:
            await self._held_by_siblings(facts)
            return await self._conversations.erase(user_id, session_id)
        finally:
            self._siblings.post(_END, facts)

    async def _held_by_siblings(self, facts: Facts) -> None:
        within_seconds = SETTLING_SECONDS + _MARGIN_SECONDS
        try:
            answers = await self._siblings.ask(_BEGIN, facts, within_seconds=within_seconds)
        except SiblingsSilentError as error:
            raise unavailable("The other processes cannot be told; nothing was erased.") from error
        if answers.missing or not all(answer["settled"] for answer in answers.facts):
            raise unavailable("A turn of the conversation is still being stored; nothing was erased.")

    async def _hold(self, facts: Facts) -> Facts:
        """Keep queries of this process from the conversation until ``_let_go``."""
        held = self._held[facts["erasure"]] = ExitStack()
        commits = held.enter_context(self._runner.erasing(facts["user_id"], facts["session_id"]))
        timer = self._clock.call_later(HOLD_SECONDS, lambda: self._release(facts["erasure"]))
        held.callback(timer.cancel)
        return {"settled": await self._settled(commits)}

    async def _settled(self, commits: set[asyncio.Future[Any]]) -> bool:
        if not commits:
            return True
        settling = asyncio.ensure_future(asyncio.wait(commits))
        try:
            return await wait_at_most(self._clock, SETTLING_SECONDS, settling)
        finally:
            settling.cancel()

    async def _let_go(self, facts: Facts) -> Facts:
        self._release(facts["erasure"])
        return {}

    def _release(self, erasure: str) -> None:
        held = self._held.pop(erasure, None)
        if held is not None:
            held.close()
