"""An erasure holds in every process: no query in flight in another one brings a turn back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agent_service.core.errors import ConflictError, MemoryUnavailableError
from agent_service.core.messages import ConversationId
from agent_service.runtime.conversations import SETTLING_SECONDS, Conversations
from agent_service.runtime.shared_conversations import HOLD_SECONDS, SharedConversations
from tests.siblings import two

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_service.runtime.runner import Runner
    from tests.runtime.conftest import Service
    from tests.siblings import Sibling


class Pair:
    """A process without queries that is asked to erase, and its sibling, which has those of ``service``."""

    def __init__(self, service: Service, idle: Service) -> None:
        self.asked_line, self.line = two()
        self.asked = self._shared(service, idle.runner, self.asked_line)
        self.sibling = self._shared(service, service.runner, self.line)

    @staticmethod
    def _shared(service: Service, runner: Runner, line: Sibling) -> SharedConversations:
        own = Conversations(store=service.store, runner=runner, clock=service.clock)
        return SharedConversations(own, runner=runner, siblings=line, clock=service.clock)


@pytest.fixture
async def pair(service: Service, open_service: Callable[..., Awaitable[Service]]) -> Pair:
    return Pair(service, await open_service())


async def test_reading_is_the_process_s_own(service: Service, pair: Pair) -> None:
    """The store is the same for all."""
    await service.begin("one")
    page = await pair.asked.page(ConversationId("ada"), limit=5)
    assert [stored.turn.question for stored in page.turns] == ["one"]
    assert [session.session_id for session in await pair.asked.sessions("ada", limit=5)] == ["default"]


async def test_queries_of_the_sibling_are_stopped_and_kept_out(service: Service, pair: Pair) -> None:
    """From before the erasure until after it: one that begins meanwhile would have seen what is erased."""
    erasing_may_end = asyncio.Event()

    async def hold(_: str) -> None:
        await erasing_may_end.wait()

    await service.begin("before")
    service.store.before_erase = hold
    service.script = service.hang
    early = await service.begun("early")
    erasing = asyncio.create_task(pair.asked.erase("ada"))
    await service.settle()
    late = await service.begun("late", user="ada")
    other = await service.begun("other", user="eve")
    erasing_may_end.set()
    assert await erasing == 1
    for stopped in (early, late):
        with pytest.raises(ConflictError):
            await stopped
    assert await service.kept() == []
    assert not other.done()
    other.cancel()
    await asyncio.wait({other})
    service.script = None
    await service.settle()
    assert (await service.begin("after")).stored
    await service.assert_at_rest()


async def test_a_turn_that_the_sibling_is_storing_is_waited_for(service: Service, pair: Pair) -> None:
    """It is erased with the others."""
    stored = asyncio.Event()

    async def hold(_: str) -> None:
        await stored.wait()

    service.store.before_commit = hold
    asking = await service.begun()
    erasing = asyncio.create_task(pair.asked.erase("ada"))
    await service.settle()
    stored.set()
    assert await erasing == 1
    assert (await asking).stored
    await service.assert_at_rest()


async def test_nothing_is_erased_when_the_sibling_s_turn_takes_too_long(service: Service, pair: Pair) -> None:
    """The caller is told so, and queries are welcome again."""
    stored = asyncio.Event()

    async def hold(_: str) -> None:
        await stored.wait()

    service.store.before_commit = hold
    asking = await service.begun()
    erasing = asyncio.create_task(pair.asked.erase("ada"))
    await service.settle()
    service.clock.advance(SETTLING_SECONDS)
    with pytest.raises(MemoryUnavailableError, match="nothing was erased"):
        await erasing
    stored.set()
    await asking
    assert "erase" not in service.journal
    await service.settle()
    await service.assert_at_rest()


@pytest.mark.parametrize("fault", ["silent", "cut off"])
async def test_nothing_is_erased_without_the_siblings(service: Service, pair: Pair, fault: str) -> None:
    """A process that hangs may bring back what another erased: better an honest failure."""
    pair.line.is_silent = fault == "silent"
    pair.asked_line.is_cut_off = fault == "cut off"
    with pytest.raises(MemoryUnavailableError, match="nothing was erased"):
        await pair.asked.erase("ada")
    assert "erase" not in service.journal


async def test_an_erasure_whose_process_died_ends_by_itself(service: Service, pair: Pair) -> None:
    """The user is not locked out for ever."""
    facts = {"erasure": "1", "user_id": "ada", "session_id": None}
    await pair.asked_line.ask("begin_erasure", facts, within_seconds=1.0)
    assert repr(pair.sibling).endswith("1 held for siblings>")
    with pytest.raises(ConflictError):
        await service.begin("meanwhile")
    service.clock.advance(HOLD_SECONDS)
    assert (await service.begin("after")).stored
    await pair.asked_line.ask("end_erasure", facts, within_seconds=1.0)
    await service.assert_at_rest()
