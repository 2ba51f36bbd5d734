"""What is peculiar to the shelf in Redis; what every shelf keeps to is in test_base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from agent_service.memory.redis_client import close_client, make_client
from agent_service.memory.redis_url import parse_address
from agent_service.releases.redis import RedisShelf
from agent_service.releases.standing import Standing
from agent_service.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@pytest.mark.parametrize("operation", ["add", "releases", "state", "standing", "change"])
async def test_a_redis_that_cannot_be_reached_is_told_like_a_disk(operation: str) -> None:
    """Who keeps to the contract of a shelf needs to know nothing of Redis."""
    nobody = parse_address("redis://127.0.0.1:1")
    client = make_client(nobody, wait_seconds=1, max_connections=1)
    shelf = RedisShelf(client, clock=FakeClock())
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "add": lambda: shelf.add("triage", b"{}"),
        "releases": lambda: shelf.releases("triage"),
        "state": lambda: shelf.state("triage", "v1"),
        "standing": lambda: shelf.standing("triage"),
        "change": lambda: shelf.change("triage", Standing.rolled_back),
    }
    with pytest.raises(OSError, match="Redis: "):
        await calls[operation]()
    await close_client(client)
