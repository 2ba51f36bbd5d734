"""Reads conversations, and the figures that the service counts, over HTTP."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp

from bench.history_events import Turn

if TYPE_CHECKING:
    from bench.history_events import Conversation

_PAGE_TURNS = 100
_TIMEOUT = aiohttp.ClientTimeout(total=10.0)
_FAILED_COMMITS = re.compile(
    r'^agent_memory_operations_total\{[^}]*operation="commit",outcome="(?!success")\w+"\} (\S+)$',
    re.MULTILINE,
)


async def newest_turns(
    session: aiohttp.ClientSession, url: str, conversation: Conversation, before_seq: int | None = None
) -> tuple[tuple[Turn, ...], int | None]:
    """The newest turns that come before ``before_seq``, oldest first, and where older ones end.

    Raises:
        aiohttp.ClientError: they could not be read.
        asyncio.TimeoutError: nor in time.
    """
    place: dict[str, str | int] = {} if before_seq is None else {"before_seq": before_seq}
    async with session.get(
        f"{url}/api/v1/users/{quote(conversation.user_id, safe='')}/history",
        params={"session_id": conversation.session_id, "limit": _PAGE_TURNS, **place},
        timeout=_TIMEOUT,
        raise_for_status=True,
    ) as response:
        page: dict[str, Any] = await response.json()
    turns = (Turn(turn["seq"], turn["turn_id"], turn["question"], turn["answer"]) for turn in page["turns"])
    return tuple(turns), page["next_before_seq"]


async def all_turns(session: aiohttp.ClientSession, url: str, conversation: Conversation) -> tuple[Turn, ...]:
    """A whole conversation; raises as ``newest_turns`` does."""
    turns, before_seq = await newest_turns(session, url, conversation)
    while before_seq is not None:
        older, before_seq = await newest_turns(session, url, conversation, before_seq)
        turns = older + turns
    return turns


async def failed_commits(session: aiohttp.ClientSession, url: str) -> float:
    """How many commits this life of the service has counted that it did not see succeed; raises likewise."""
    async with session.get(f"{url}/api/v1/metrics", timeout=_TIMEOUT, raise_for_status=True) as response:
        return sum(map(float, _FAILED_COMMITS.findall(await response.text())))
