"""The contract of a store's sessions, turn leases and idempotency records, checked on every backend."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agent_service.core.errors import MemoryUnavailableError
from agent_service.core.messages import ConversationId, Turn
from agent_service.memory.base import MAX_RESPONSE_BYTES, Claim, IdempotencyKey, SessionInfo, Window

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_service.memory.base import ConversationStore, StoreOptions
    from agent_service.testing import FakeClock

HERE = ConversationId("user", "session")
KEY = IdempotencyKey("user", "key")


async def _commit(store: ConversationStore, session_id: str, turns: int = 1) -> None:
    for number in range(turns):
        turn = Turn(f"t{number}", "q", "a", 1_700_000_000.25 + number)
        await store.commit(ConversationId("user", session_id), turn, base_seq=0)


async def _claim(store: ConversationStore, turn_id: str = "t1", fingerprint: str = "f1") -> Claim:
    return await store.claim(
        KEY, fingerprint=fingerprint, turn_id=turn_id, ttl_seconds=3600.0, running_ttl_seconds=60.0
    )


async def test_a_session_tells_its_length_and_its_last_turn(store: ConversationStore) -> None:
    """Turns are those that are kept; a user who never asked has no session."""
    await _commit(store, "s", turns=5)

    assert await store.sessions("user") == (SessionInfo("s", 3, 5, 1_700_000_004.25),)
    assert await store.sessions("nobody") == ()


async def test_sessions_come_in_pages_that_miss_none(store: ConversationStore) -> None:
    """Each page leads behind the last one seen, whatever characters the ids hold; the order stays."""
    names = ["", "a", "b", "B", "é", "\0", "a:b", "\ud800", "🙂", "z" * 100]
    for name in names:
        await _commit(store, name)

    seen: list[str] = []
    while page := await store.sessions("user", limit=3, after=seen[-1] if seen else None):
        seen += [info.session_id for info in page]

    assert sorted(seen) == sorted(names)
    assert seen == [info.session_id for info in await store.sessions("user")]
    behind = [info.session_id for info in await store.sessions("user", after="aa")]
    assert behind == seen[seen.index("a:b") + 1 :]


async def test_expired_and_erased_sessions_are_not_listed(store: ConversationStore, clock: FakeClock) -> None:
    """The list shows what can be read, and nothing else."""
    await _commit(store, "old")
    clock.advance(3000.0)
    await _commit(store, "erased")
    await _commit(store, "live")
    clock.advance(600.0)
    await store.erase("user", "erased")

    assert [info.session_id for info in await store.sessions("user")] == ["live"]


async def test_one_token_holds_the_turn(store: ConversationStore) -> None:
    """Who has it keeps and gives it, nobody else does; another conversation's turn is another."""
    assert await store.take_turn(HERE, token="a", ttl_seconds=30.0)
    assert await store.take_turn(HERE, token="a", ttl_seconds=30.0)

    assert not await store.take_turn(HERE, token="b", ttl_seconds=30.0)
    assert not await store.keep_turn(HERE, token="b", ttl_seconds=30.0)
    await store.give_turn(HERE, token="b")
    assert await store.keep_turn(HERE, token="a", ttl_seconds=30.0)
    assert await store.take_turn(ConversationId("user", "other"), token="b", ttl_seconds=30.0)

    await store.give_turn(HERE, token="a")
    assert not await store.keep_turn(HERE, token="a", ttl_seconds=30.0)
    assert await store.take_turn(HERE, token="b", ttl_seconds=30.0)


async def test_a_turn_that_is_not_kept_ends_by_itself(
    store: ConversationStore, pass_time: Callable[[float], Awaitable[None]]
) -> None:
    """A holder that died is waited for until its lease ends, and no longer; keeping it prolongs it."""
    await store.take_turn(HERE, token="a", ttl_seconds=30.0)
    await pass_time(20.0)
    assert await store.keep_turn(HERE, token="a", ttl_seconds=30.0)
    await pass_time(20.0)
    assert not await store.take_turn(HERE, token="b", ttl_seconds=30.0)
    await pass_time(11.0)

    assert not await store.keep_turn(HERE, token="a", ttl_seconds=30.0)
    assert await store.take_turn(HERE, token="b", ttl_seconds=30.0)


async def test_of_many_takers_one_gets_the_turn(store: ConversationStore) -> None:
    """However many ask at once."""
    taken = await asyncio.gather(
        *(store.take_turn(HERE, token=f"t{number}", ttl_seconds=30.0) for number in range(20))
    )

    assert [window for window in taken if window is not None] == [Window()]


async def test_with_the_turn_comes_the_conversation(store: ConversationStore) -> None:
    """Who takes the turn sees what ``read`` gives; who does not get it sees nothing."""
    await _commit(store, HERE.session_id, turns=5)

    taken = await store.take_turn(HERE, token="a", ttl_seconds=30.0, last_turns=2)

    assert taken is not None
    assert taken == await store.read(HERE, last_turns=2)
    assert [stored.seq for stored in taken.turns] == [4, 5]
    assert await store.take_turn(HERE, token="b", ttl_seconds=30.0, last_turns=2) is None


async def test_a_commit_gives_the_turn_of_its_token_back(store: ConversationStore) -> None:
    """In one step with the turn's storing, also when it was stored before; another token's turn stays."""
    turn = Turn("t", "q", "a", 1_700_000_000.25)
    await store.take_turn(HERE, token="a", ttl_seconds=30.0)

    await store.commit(HERE, turn, base_seq=0)
    await store.commit(HERE, turn, base_seq=0, token="b")
    assert await store.take_turn(HERE, token="c", ttl_seconds=30.0) is None

    assert (await store.commit(HERE, turn, base_seq=0, token="a")).seq == 1
    assert await store.take_turn(HERE, token="c", ttl_seconds=30.0) is not None


async def test_leases_that_end_make_room(
    store: ConversationStore, pass_time: Callable[[float], Awaitable[None]]
) -> None:
    """Abandoned leases and claims of others do not outlive new ones; those that live stay."""
    await store.take_turn(HERE, token="long", ttl_seconds=1000.0)
    for number in range(5):
        await store.take_turn(ConversationId("u", str(number)), token="a", ttl_seconds=1.0)
    await pass_time(2.0)
    for number in range(5):
        assert await store.take_turn(ConversationId("v", str(number)), token="b", ttl_seconds=1.0)

    assert not await store.take_turn(HERE, token="b", ttl_seconds=1.0)


async def test_the_first_claim_is_new_and_the_next_sees_it_running(store: ConversationStore) -> None:
    """One caller runs; its own claim again, after a lost reply, is still its own."""
    assert await _claim(store) == Claim("new", "f1", "t1")
    assert await _claim(store) == Claim("new", "f1", "t1")

    assert await _claim(store, "t2") == Claim("running", "f1", "t1")


async def test_a_finished_claim_is_answered_with_its_response(store: ConversationStore) -> None:
    """Byte for byte, for everybody who asks; the first finish counts."""
    response = bytes(range(256))
    await _claim(store)

    assert await store.finish(KEY, turn_id="t1", response=response, ttl_seconds=3600.0)
    assert await store.finish(KEY, turn_id="t1", response=b"other", ttl_seconds=3600.0)

    assert await _claim(store, "t2") == Claim("done", "f1", "t1", response)


async def test_another_request_with_the_same_key_changes_nothing(
    store: ConversationStore, pass_time: Callable[[float], Awaitable[None]]
) -> None:
    """The stored fingerprint comes back, while the first runs, when it has ended, and when it was silent."""
    await _claim(store)
    assert await _claim(store, "t2", "f2") == Claim("running", "f1", "t1")
    await pass_time(61.0)
    assert await _claim(store, "t2", "f2") == Claim("running", "f1", "t1")
    await store.finish(KEY, turn_id="t1", response=b"r", ttl_seconds=3600.0)

    assert await _claim(store, "t2", "f2") == Claim("done", "f1", "t1", b"r")


async def test_a_silent_claim_is_claimed_anew_under_its_turn_id(
    store: ConversationStore, pass_time: Callable[[float], Awaitable[None]]
) -> None:
    """Whoever goes on commits under the same id, so that the two cannot both be stored."""
    await _claim(store)
    await pass_time(61.0)

    assert await _claim(store, "t2") == Claim("new", "f1", "t1")
    assert await _claim(store, "t2") == Claim("new", "f1", "t1")
    assert await _claim(store, "t3") == Claim("running", "f1", "t1")


async def test_a_response_that_is_too_long_is_not_kept(store: ConversationStore) -> None:
    """finish() says so; the key is done all the same, so that nothing runs twice."""
    await _claim(store)

    assert not await store.finish(
        KEY, turn_id="t1", response=b"x" * (MAX_RESPONSE_BYTES + 1), ttl_seconds=3600.0
    )

    assert await _claim(store, "t2") == Claim("done", "f1", "t1", None)


async def test_a_response_of_the_greatest_length_is_kept(store: ConversationStore) -> None:
    """The bound belongs to what is allowed."""
    await _claim(store)
    assert await store.finish(KEY, turn_id="t1", response=b"x" * MAX_RESPONSE_BYTES, ttl_seconds=3600.0)


async def test_an_abandoned_claim_is_forgotten(store: ConversationStore) -> None:
    """Only its holder abandons it, and only before it is done."""
    await _claim(store)
    await store.abandon(KEY, turn_id="t2")
    assert await _claim(store, "t2") == Claim("running", "f1", "t1")
    await store.abandon(KEY, turn_id="t1")
    assert await _claim(store, "t2") == Claim("new", "f1", "t2")

    await store.finish(KEY, turn_id="t2", response=b"r", ttl_seconds=3600.0)
    await store.abandon(KEY, turn_id="t2")
    assert (await _claim(store)).state == "done"


async def test_a_record_ends_after_its_time(
    store: ConversationStore, pass_time: Callable[[float], Awaitable[None]]
) -> None:
    """Its time after finish() the key is new again; a late finish of a claim that is gone keeps nothing."""
    await _claim(store)
    await pass_time(3000.0)
    await store.finish(KEY, turn_id="t1", response=b"r", ttl_seconds=3600.0)
    await pass_time(3000.0)
    assert (await _claim(store, "t2")).state == "done"
    await pass_time(601.0)

    assert await _claim(store, "t2") == Claim("new", "f1", "t2")
    assert not await store.finish(KEY, turn_id="t1", response=b"r", ttl_seconds=3600.0)


async def test_keys_belong_to_their_principals(store: ConversationStore) -> None:
    """The same key of another caller is another key, however the two are joined."""
    pairs = [("a", "b:c"), ("a:b", "c"), ("", "a"), ("a", ""), ("\ud800", "\0"), ("a", "b")]

    claims = [
        await store.claim(
            IdempotencyKey(*pair),
            fingerprint="f",
            turn_id=str(pair),
            ttl_seconds=9.0,
            running_ttl_seconds=9.0,
        )
        for pair in pairs
    ]

    assert claims == [Claim("new", "f", str(pair)) for pair in pairs]


async def test_of_many_claims_one_is_new(store: ConversationStore) -> None:
    """However many ask at once."""
    claims = await asyncio.gather(*(_claim(store, f"t{number}") for number in range(20)))

    assert [claim.state for claim in claims].count("new") == 1
    assert len({claim.turn_id for claim in claims}) == 1


async def test_erasing_a_user_erases_leases_and_records(store: ConversationStore) -> None:
    """Of that user only; a session's erasing takes its lease along and leaves the records."""
    other = IdempotencyKey("other", "key")
    await store.claim(other, fingerprint="f", turn_id="t", ttl_seconds=9.0, running_ttl_seconds=9.0)
    await _claim(store)
    await _commit(store, "session")
    await store.take_turn(HERE, token="a", ttl_seconds=30.0)

    assert await store.erase("user", "session") == 1
    assert await store.take_turn(HERE, token="b", ttl_seconds=30.0)
    assert (await _claim(store, "t2")).state == "running"
    assert await store.erase("user") == 0

    assert await _claim(store, "t2") == Claim("new", "f1", "t2")
    again = await store.claim(other, fingerprint="f", turn_id="u", ttl_seconds=9.0, running_ttl_seconds=9.0)
    assert again.state == "running"


async def test_claims_outside_of_the_stores_life_are_refused(
    new_store: Callable[[StoreOptions], ConversationStore], options: StoreOptions
) -> None:
    """As the calls of conversations are."""
    store = new_store(options)
    calls: list[Awaitable[object]] = [
        store.sessions("user"),
        store.take_turn(HERE, token="a", ttl_seconds=1.0),
        store.keep_turn(HERE, token="a", ttl_seconds=1.0),
        store.give_turn(HERE, token="a"),
        _claim(store),
        store.finish(KEY, turn_id="t", response=b"", ttl_seconds=1.0),
        store.abandon(KEY, turn_id="t"),
    ]
    for call in calls:
        with pytest.raises(MemoryUnavailableError):
            await call
