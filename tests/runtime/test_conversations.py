"""Erasing a conversation while queries go on: no turn that was in flight brings it back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agent_service.core.errors import ConflictError, MemoryUnavailableError
from agent_service.core.messages import ConversationId
from agent_service.runtime.conversations import SETTLING_SECONDS, Conversations
from agent_service.runtime.streams.keeper import EventKeeper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_service.core.run import Run
    from tests.runtime.conftest import Service

    Open = Callable[..., Awaitable[Service]]

LONGEST_PATH_TICKS = 60
"""More turns of the loop than a query of these tests takes."""


def conversations_of(service: Service) -> Conversations:
    """The use cases over the service's store."""
    return Conversations(store=service.store, runner=service.runner, clock=service.clock)


@pytest.fixture
def conversations(service: Service) -> Conversations:
    """The use cases over the standard service."""
    return conversations_of(service)


def held_until(released: asyncio.Event) -> Callable[[str], Awaitable[None]]:
    """A store that takes its time."""

    async def hold(user: str) -> None:
        await released.wait()

    return hold


async def pause(*_: object) -> None:
    """Give way to others, several times."""
    for _turn in range(3):
        await asyncio.sleep(0)


async def working(run: Run) -> str:
    """A program with a wait at a seam and one outside."""
    with run.interruptible():
        await pause()
    await pause()
    return "done"


async def test_a_page_is_the_store_s(service: Service, conversations: Conversations) -> None:
    """Bounds are passed on; the newest turn comes last."""
    for question in ("one", "two", "three"):
        await service.begin(question)

    page = await conversations.page(ConversationId("ada"), limit=1, before_seq=3)

    assert [stored.turn.question for stored in page.turns] == ["two"]
    assert repr(conversations).startswith("<Conversations in ")


async def test_an_erasure_stops_the_query_that_has_seen_the_conversation(
    service: Service, conversations: Conversations
) -> None:
    """Its caller is told what happened and how far the query had come; nothing of it is stored."""
    await service.begin("before")
    service.script = service.hang
    asking = await service.begun()

    assert await conversations.erase("ada") == 1

    with pytest.raises(ConflictError, match="erased while the question was being answered") as stopped:
        await asking
    assert stopped.value.progress is not None
    assert [end.code for end in service.finished] == [None, "conflict"]
    assert await service.kept() == []
    await service.assert_at_rest()


@pytest.mark.parametrize(("user", "session"), [("eve", None), ("ada", "other")])
async def test_queries_of_other_conversations_go_on(
    service: Service, conversations: Conversations, user: str, session: str | None
) -> None:
    """Neither another user's nor, with a session, another session's query is stopped."""
    release = asyncio.Event()

    async def waiting(run: Run) -> str:
        with run.interruptible():
            await release.wait()
        return "done"

    service.script = waiting
    asking = await service.begun()
    assert await conversations.erase(user, session) == 0
    release.set()
    assert (await asking).stored


async def test_a_turn_that_is_being_stored_is_erased_with_the_others(
    service: Service, conversations: Conversations
) -> None:
    """It cannot be stopped any more, so the erasure waits for it; its caller had an answer."""
    stored = asyncio.Event()
    service.store.before_commit = held_until(stored)
    asking = await service.begun()
    erasing = asyncio.create_task(conversations.erase("ada"))
    await service.settle()
    assert "erase" not in service.journal
    stored.set()

    assert await erasing == 1
    assert (await asking).stored
    assert await service.kept() == []
    await service.assert_at_rest()


async def test_a_turn_that_outlasted_its_query_is_waited_for_too(
    service: Service, conversations: Conversations
) -> None:
    """A late commit belongs to nobody who waits, and would bring the conversation back all the same."""
    stored = asyncio.Event()
    service.store.before_commit = held_until(stored)
    asking = await service.begun()
    service.clock.advance(30.0)
    assert not (await asking).stored
    erasing = asyncio.create_task(conversations.erase("ada", "default"))
    await service.settle()
    assert not erasing.done()
    stored.set()
    assert await erasing == 1


async def test_an_erasure_that_cannot_be_sure_says_so(service: Service, conversations: Conversations) -> None:
    """When a turn takes too long to be stored nothing is erased, instead of being half so."""
    stored = asyncio.Event()
    service.store.before_commit = held_until(stored)
    await service.begun()
    erasing = asyncio.create_task(conversations.erase("ada"))
    await service.settle()
    service.clock.advance(SETTLING_SECONDS)

    with pytest.raises(MemoryUnavailableError) as refused:
        await erasing
    assert refused.value.retry_after_seconds == 1.0
    assert "erase" not in service.journal
    stored.set()
    await service.assert_at_rest()
    assert await conversations.erase("ada") == 1


async def test_a_query_that_comes_while_its_conversation_is_erased_does_not_see_it(
    service: Service, conversations: Conversations
) -> None:
    """It is stopped before it reads; afterwards queries are welcome, after a failed erasure too."""
    await service.begin("before")
    released = asyncio.Event()
    service.store.before_erase = held_until(released)
    erasing = asyncio.create_task(conversations.erase("ada"))
    await service.settle()
    reads = service.journal.count("read")
    with pytest.raises(ConflictError):
        await service.begin("meanwhile")
    assert service.journal.count("read") == reads
    assert (await service.begin("another", user="eve")).stored
    erasing.cancel()
    await service.settle()

    assert (await service.begin("after")).stored
    await service.assert_at_rest()


@pytest.mark.parametrize("ticks", range(1, LONGEST_PATH_TICKS))
async def test_at_whatever_moment_it_is_erased_it_stays_so(open_service: Open, ticks: int) -> None:
    """What is left knows nothing of what was: at each turn of the loop, with a query behind the erasure."""
    for ticks_between in range(12):
        service = await open_service()
        await service.begin("before")
        service.script = working
        service.store.before_read = service.store.before_commit = service.store.before_erase = pause
        service.begin("during")
        await service.settle(ticks)
        erasing = asyncio.create_task(conversations_of(service).erase("ada"))
        await service.settle(ticks_between)
        service.begin("behind")
        await erasing
        await service.settle(LONGEST_PATH_TICKS)

        assert await service.kept() in ([], ["behind"])
        if await service.kept():
            assert service.program.calls[-1] == ({"question": "behind"}, ())
        await service.assert_at_rest()


class Keeper(EventKeeper):
    """Notes what it is to forget."""

    def __init__(self) -> None:
        self.erased: list[tuple[str, str | None, int]] = []
        self.service: Service | None = None

    async def erase(self, user_id: str, session_id: str | None = None) -> None:
        assert self.service is not None
        self.erased.append((user_id, session_id, len(await self.service.kept())))


async def test_an_erasure_takes_the_streams_along(service: Service) -> None:
    """Before the turns, so that an erasing that failed there can be begun again and counts right."""
    keeper = Keeper()
    keeper.service = service
    conversations = Conversations(
        store=service.store, runner=service.runner, clock=service.clock, streams=keeper
    )
    await service.begin("one")

    assert await conversations.erase("ada", "default") == 1
    assert keeper.erased == [("ada", "default", 1)]
