"""What is particular to the in-memory store: its bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent_service.core.errors import MemoryUnavailableError
from agent_service.core.messages import ConversationId, Turn
from agent_service.memory.base import StoreOptions
from agent_service.memory.in_memory import InMemoryStore

if TYPE_CHECKING:
    from agent_service.testing import FakeClock

TURN = Turn("t1", "q", "a", 0.0)


async def _full_store(clock: FakeClock) -> InMemoryStore:
    store = InMemoryStore(StoreOptions(ttl_seconds=10.0), clock=clock, max_conversations=2)
    await store.start()
    for user in ("first", "second"):
        await store.commit(ConversationId(user), TURN, base_seq=0)
    return store


async def test_a_full_store_refuses_new_conversations_and_keeps_the_old(clock: FakeClock) -> None:
    """No promise made is broken to make room: who is held goes on, who is new is refused."""
    store = await _full_store(clock)

    with pytest.raises(MemoryUnavailableError):
        await store.commit(ConversationId("third"), TURN, base_seq=0)

    assert (await store.commit(ConversationId("first"), Turn("t2", "q", "a", 0.0), base_seq=1)).seq == 2
    assert (await store.read(ConversationId("second"), last_turns=1)).last_seq == 1


async def test_expired_conversations_make_room(clock: FakeClock) -> None:
    """What expired is dropped by later commits, so that memory follows the live conversations."""
    store = await _full_store(clock)
    clock.advance(10.0)

    await store.commit(ConversationId("third"), TURN, base_seq=0)

    assert repr(store) == "<InMemoryStore open, 1 conversations>"


async def test_conversations_that_go_on_do_not_hide_the_expired(clock: FakeClock) -> None:
    """Room is made in the order of last commits, however early a living conversation began."""
    store = InMemoryStore(StoreOptions(ttl_seconds=10.0), clock=clock, max_conversations=3)
    await store.start()
    for user in ("first", "second", "idle"):
        await store.commit(ConversationId(user), TURN, base_seq=0)
    clock.advance(5.0)
    for user in ("first", "second"):
        await store.commit(ConversationId(user), Turn("t2", "q", "a", 0.0), base_seq=1)
    clock.advance(5.0)

    await store.commit(ConversationId("new"), TURN, base_seq=0)

    assert repr(store) == "<InMemoryStore open, 3 conversations>"


async def test_the_ids_remembered_are_bounded(clock: FakeClock) -> None:
    """A conversation that never ends does not grow."""
    store = InMemoryStore(StoreOptions(max_turns=5), clock=clock)
    await store.start()
    for number in range(100):
        await store.commit(ConversationId("u"), Turn(f"t{number}", "q", "a", 0.0), base_seq=0)

    page = await store.page(ConversationId("u"), limit=1000)

    assert [stored.seq for stored in page.turns] == [96, 97, 98, 99, 100]
    assert (await store.commit(ConversationId("u"), Turn("t90", "q", "a", 0.0), base_seq=0)).seq == 91
    assert (await store.commit(ConversationId("u"), Turn("t89", "q", "a", 0.0), base_seq=0)).seq == 101
