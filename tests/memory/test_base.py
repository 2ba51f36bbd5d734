"""The contract of a conversation store, checked on every backend."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agent_service.core.errors import MemoryUnavailableError
from agent_service.core.messages import ConversationId, StoredTurn, Turn
from agent_service.memory.base import Page, StoreOptions, Window

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_service.memory.base import ConversationStore
    from agent_service.testing import FakeClock

HERE = ConversationId("user", "session")


def _turn(turn_id: str, question: str = "q", answer: str = "a") -> Turn:
    return Turn(turn_id, question, answer, 1_700_000_000.25, "model", "program")


async def _commit(store: ConversationStore, *turn_ids: str) -> list[StoredTurn]:
    return [await store.commit(HERE, _turn(turn_id), base_seq=0) for turn_id in turn_ids]


def _ids(turns: tuple[StoredTurn, ...]) -> list[str]:
    return [stored.turn.turn_id for stored in turns]


@pytest.mark.parametrize(("ttl_seconds", "max_turns"), [(0.0, 1), (1.0, 0)])
def test_options_out_of_range_are_refused(ttl_seconds: float, max_turns: int) -> None:
    """A life or a length below the least is refused where the options are made."""
    with pytest.raises(ValueError, match="must be"):
        StoreOptions(ttl_seconds, max_turns)


async def test_a_committed_turn_comes_back_as_it_was_given(store: ConversationStore) -> None:
    """commit() returns what read() and page() show: the turn, its seq and what its answer had seen."""
    turn = _turn("t1", "What?", "That.")

    stored = await store.commit(HERE, turn, base_seq=7)

    assert stored == StoredTurn(turn, seq=1, base_seq=7)
    assert await store.read(HERE, last_turns=3) == Window((stored,), 1)
    assert await store.page(HERE, limit=3) == Page((stored,), None)


async def test_a_conversation_nobody_began_is_empty(store: ConversationStore) -> None:
    """Unknown is not an error: an empty window, an empty page, nothing to erase."""
    assert await store.read(HERE, last_turns=3) == Window()
    assert await store.page(HERE, limit=3) == Page((), None)
    assert await store.erase(HERE.user_id) == 0


async def test_read_shows_the_last_turns_oldest_first(store: ConversationStore) -> None:
    """A window ends with the newest turn; none asked for still tells the last seq."""
    await _commit(store, "t1", "t2", "t3")

    assert _ids((await store.read(HERE, last_turns=2)).turns) == ["t2", "t3"]
    assert await store.read(HERE, last_turns=0) == Window((), 3)
    assert await store.read(HERE, last_turns=-1) == Window((), 3)


async def test_pages_lead_back_to_the_oldest_turn(store: ConversationStore) -> None:
    """next_before_seq asks for the older turns until none is left, then it is None."""
    await _commit(store, "t1", "t2", "t3")

    newest = await store.page(HERE, limit=2)
    older = await store.page(HERE, limit=2, before_seq=newest.next_before_seq)

    assert (_ids(newest.turns), newest.next_before_seq) == (["t2", "t3"], 2)
    assert (_ids(older.turns), older.next_before_seq) == (["t1"], None)


@pytest.mark.parametrize(("before_seq", "expected"), [(10**30, ["t1", "t2"]), (1, []), (-(10**30), [])])
async def test_a_page_before_any_number_is_a_page(
    store: ConversationStore, before_seq: int, expected: list[str]
) -> None:
    """before_seq may lie anywhere: callers make it up."""
    await _commit(store, "t1", "t2")

    assert _ids((await store.page(HERE, limit=10, before_seq=before_seq)).turns) == expected


async def test_old_turns_are_trimmed_and_nothing_is_renumbered(store: ConversationStore) -> None:
    """max_turns are kept; seq goes on, and no page leads to what was trimmed."""
    await _commit(store, "t1", "t2", "t3", "t4", "t5")

    page = await store.page(HERE, limit=10)

    assert [stored.seq for stored in page.turns] == [3, 4, 5]
    assert page.next_before_seq is None
    assert (await store.read(HERE, last_turns=10)).turns == page.turns


async def test_the_same_turn_id_again_changes_nothing(store: ConversationStore) -> None:
    """A repeated commit returns what is stored, whatever it brings this time."""
    [first, _] = await _commit(store, "t1", "t2")

    again = await store.commit(HERE, _turn("t1", "other"), base_seq=9)

    assert again == first
    assert _ids((await store.read(HERE, last_turns=3)).turns) == ["t1", "t2"]


async def test_a_trimmed_turn_is_remembered_by_id(store: ConversationStore) -> None:
    """As many ids of trimmed turns as of kept ones are known; older ones are new again."""
    await _commit(store, *(f"t{number}" for number in range(1, 8)))

    remembered = await store.commit(HERE, _turn("t2"), base_seq=9)
    forgotten = await store.commit(HERE, _turn("t1"), base_seq=9)

    assert remembered == StoredTurn(_turn("t2"), seq=2, base_seq=0)
    assert forgotten == StoredTurn(_turn("t1"), seq=8, base_seq=9)


async def test_a_conversation_expires_as_a_whole(store: ConversationStore, clock: FakeClock) -> None:
    """ttl_seconds after the last commit all is gone: turns, ids, and the count; reading prolongs nothing."""
    await _commit(store, "t1")
    clock.advance(3599.0)
    await _commit(store, "t2")
    clock.advance(3599.0)
    assert _ids((await store.read(HERE, last_turns=3)).turns) == ["t1", "t2"]
    clock.advance(1.0)

    assert await store.read(HERE, last_turns=3) == Window()
    assert await store.page(HERE, limit=3) == Page((), None)
    assert await store.erase(HERE.user_id) == 0
    assert [stored.seq for stored in await _commit(store, "t2")] == [1]


async def test_an_expired_conversation_begins_anew_on_commit(
    store: ConversationStore, clock: FakeClock
) -> None:
    """The first commit after the end is turn 1, alone, even with an id of the life before."""
    for user in ("another", "third", "user"):
        await store.commit(ConversationId(user, "session"), _turn("t1"), base_seq=0)
    clock.advance(3600.0)

    await _commit(store, "t1")

    assert [stored.seq for stored in (await store.page(HERE, limit=9)).turns] == [1]


async def test_expiry_follows_the_wall_clock(store: ConversationStore, clock: FakeClock) -> None:
    """Records outlive processes, so their end is a date and moves with the date."""
    await _commit(store, "t1")

    clock.step_wall(3600.0)
    assert (await store.read(HERE, last_turns=1)).turns == ()
    clock.step_wall(-3600.0)

    assert _ids((await store.read(HERE, last_turns=1)).turns) == ["t1"]


async def test_erase_removes_one_conversation_or_all_of_a_user(store: ConversationStore) -> None:
    """erase() tells how many turns are gone, touches nobody else, and ends the memory of ids."""
    for user, session in (("u", "a"), ("u", "a"), ("u", "b"), ("v", "a")):
        conversation = ConversationId(user, session)
        seq = (await store.read(conversation, last_turns=0)).last_seq
        await store.commit(conversation, _turn(f"t{seq}"), base_seq=seq)

    assert await store.erase("u", "a") == 2
    assert (await store.commit(ConversationId("u", "a"), _turn("t0"), base_seq=0)).seq == 1
    assert await store.erase("u") == 2
    assert (await store.read(ConversationId("v", "a"), last_turns=1)).last_seq == 1


NASTY = [
    "",
    "a",
    "A",
    "a:b",
    "b:c",
    "c",
    "%",
    "_",
    "'",
    "\0",
    "a\0",
    "é",
    "e\u0301",
    "\ud800",
    "\udcff",
    "🙂",
    "*" * 128,
]


async def test_ids_of_any_characters_are_kept_apart(
    new_store: Callable[[StoreOptions], ConversationStore],
) -> None:
    """No two pairs of ids share a conversation, however alike they look when joined or normalised."""
    store = new_store(StoreOptions())
    await store.start()
    pairs = [ConversationId(user, session) for user in NASTY for session in NASTY]

    await asyncio.gather(*(store.commit(pair, _turn(repr(pair)), base_seq=0) for pair in pairs))

    for pair in pairs:
        assert _ids((await store.read(pair, last_turns=9)).turns) == [repr(pair)]
    assert await store.erase("a") == len(NASTY)
    await store.close()


@pytest.mark.parametrize("text", [*NASTY, "line\r\nline", "x" * 1_000_000])
async def test_texts_come_back_exactly(store: ConversationStore, text: str) -> None:
    """Every str survives, in every field, lone surrogates and NUL included."""
    turn = Turn(turn_id=text, question=text, answer=text, at_epoch_seconds=0.1, model=text, program=text)

    await store.commit(HERE, turn, base_seq=0)

    assert [stored.turn for stored in (await store.read(HERE, last_turns=1)).turns] == [turn]
    assert (await store.commit(HERE, turn, base_seq=0)).seq == 1


async def test_concurrent_commits_get_each_its_own_seq(store: ConversationStore) -> None:
    """Many tasks on one conversation: 1 to n, no gap, nobody twice."""
    stored = await asyncio.gather(
        *(store.commit(HERE, _turn(f"t{number}"), base_seq=0) for number in range(50))
    )

    assert sorted(each.seq for each in stored) == list(range(1, 51))


async def test_calls_outside_of_the_stores_life_are_refused(
    new_store: Callable[[StoreOptions], ConversationStore],
) -> None:
    """Before start and after close each call raises MemoryUnavailableError; close is safe at any time."""
    store = new_store(StoreOptions())
    await _check_refuses(store)
    await store.close()
    await store.start()
    await store.ping()
    await store.close()
    await store.close()
    await _check_refuses(store)


async def _check_refuses(store: ConversationStore) -> None:
    calls: list[Awaitable[object]] = [
        store.ping(),
        store.read(HERE, last_turns=1),
        store.commit(HERE, _turn("t1"), base_seq=0),
        store.page(HERE, limit=1),
        store.erase("u"),
    ]
    for call in calls:
        with pytest.raises(MemoryUnavailableError) as refused:
            await call
        assert refused.value.retry_after_seconds is not None
