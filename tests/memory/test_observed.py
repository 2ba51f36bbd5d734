"""Each call of a store is told and has an end."""

from __future__ import annotations

import asyncio
import gc
import random
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from agent_service.core.breaker import Breaker, BreakerOptions, BreakerState
from agent_service.core.errors import MemoryUnavailableError
from agent_service.core.messages import ConversationId, StoredTurn, Turn
from agent_service.core.observer import StoreOperationFinished
from agent_service.memory.base import (
    Claim,
    IdempotencyKey,
    Page,
    RecordUnusableError,
    SessionInfo,
    Window,
)
from agent_service.memory.observed import ObservedStore
from agent_service.testing import FakeClock, FakeTimer, RecordingObserver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

_T = TypeVar("_T")

HERE = ConversationId("user")
TURN = Turn("t1", "q", "a", 0.0)
STORED = StoredTurn(TURN, 1, 0)
KEY = IdempotencyKey("user", "key")


class _SlowStore:
    """A store whose calls end when the test says so."""

    backend = "slow"

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.fails_with: Exception | None = None
        self.started = self.closed = False
        self.ended: list[str] = []
        self.cancelled: list[str] = []

    def __repr__(self) -> str:
        return "<slow>"

    async def _end(self, operation: str, result: _T) -> _T:
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.cancelled.append(operation)
            raise
        self.ended.append(operation)
        if self.fails_with is not None:
            raise self.fails_with
        return result

    async def start(self) -> None:
        self.started = True

    async def close(self) -> None:
        self.may_end.set()
        self.closed = True

    async def ping(self) -> None:
        await self._end("ping", None)

    async def read(self, conversation: ConversationId, *, last_turns: int) -> Window:
        return await self._end("read", Window((STORED,) * last_turns, 1))

    async def commit(
        self, conversation: ConversationId, turn: Turn, *, base_seq: int, token: str | None = None
    ) -> StoredTurn:
        return await self._end("commit", StoredTurn(turn, 1, base_seq + (token == "a")))

    async def page(self, conversation: ConversationId, *, limit: int, before_seq: int | None = None) -> Page:
        return await self._end("page", Page((STORED,) * limit, before_seq))

    async def erase(self, user_id: str, session_id: str | None = None) -> int:
        return await self._end("erase", 1 if session_id is None else 2)

    async def sessions(
        self, user_id: str, *, limit: int = 100, after: str | None = None
    ) -> tuple[SessionInfo, ...]:
        return await self._end("sessions", (SessionInfo(f"{user_id} {after}", limit, 1, 0.0),))

    async def take_turn(
        self, conversation: ConversationId, *, token: str, ttl_seconds: float, last_turns: int = 0
    ) -> Window | None:
        taken = Window((STORED,) * last_turns, 1) if (token, ttl_seconds) == ("a", 30.0) else None
        return await self._end("take_turn", taken)

    async def keep_turn(self, conversation: ConversationId, *, token: str, ttl_seconds: float) -> bool:
        return await self._end("keep_turn", (token, ttl_seconds) == ("a", 30.0))

    async def give_turn(self, conversation: ConversationId, *, token: str) -> None:
        return await self._end("give_turn", None)

    async def claim(
        self,
        key: IdempotencyKey,
        *,
        fingerprint: str,
        turn_id: str,
        ttl_seconds: float,
        running_ttl_seconds: float,
    ) -> Claim:
        response = f"{ttl_seconds} {running_ttl_seconds}".encode()
        return await self._end("claim", Claim("new", fingerprint, turn_id, response))

    async def finish(self, key: IdempotencyKey, *, turn_id: str, response: bytes, ttl_seconds: float) -> bool:
        return await self._end("finish", (turn_id, response, ttl_seconds) == ("t", b"r", 2.0))

    async def abandon(self, key: IdempotencyKey, *, turn_id: str) -> None:
        return await self._end("abandon", None)


class _CountingClock(FakeClock):
    """Counts the scheduled calls that were made."""

    made = 0

    def call_later(self, delay_seconds: float, callback: Callable[[], None]) -> FakeTimer:
        def count() -> None:
            self.made += 1
            callback()

        return super().call_later(delay_seconds, count)


class _Room:
    """The store under test with its surroundings."""

    def __init__(self) -> None:
        self.clock = _CountingClock()
        self.slow = _SlowStore()
        self.observer = RecordingObserver()
        self.breaker = Breaker(
            BreakerOptions(failure_threshold=3, open_seconds=5.0, half_open_probes=1),
            clock=self.clock,
            random=random.Random(0),
            on_move=lambda _before, _after: None,
        )
        self.store = ObservedStore(
            self.slow, observer=self.observer, clock=self.clock, breaker=self.breaker, timeout_seconds=1.0
        )

    def told(self) -> list[tuple[str, str, str, float]]:
        events = self.observer.of(StoreOperationFinished)
        return [(event.backend, event.operation, event.outcome, event.latency_seconds) for event in events]


@pytest.fixture
async def room() -> AsyncIterator[_Room]:
    """A fresh one for each test; whatever asyncio complains of (lost errors, broken callbacks) fails it."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    yield _Room()
    await asyncio.sleep(0)
    gc.collect()
    assert complaints == []


async def _begin(call: Awaitable[_T]) -> asyncio.Future[_T]:
    """Let ``call`` run up to where it waits."""
    task = asyncio.ensure_future(call)
    for _ in range(3):
        await asyncio.sleep(0)
    return task


FINISHING = {"commit", "give_turn", "finish", "abandon"}
"""What ends something that was begun."""

CALLS: dict[str, tuple[Callable[[ObservedStore], Awaitable[object]], object]] = {
    "ping": (lambda store: store.ping(), None),
    "read": (lambda store: store.read(HERE, last_turns=2), Window((STORED, STORED), 1)),
    "commit": (lambda store: store.commit(HERE, TURN, base_seq=4, token="a"), StoredTurn(TURN, 1, 5)),
    "page": (lambda store: store.page(HERE, limit=1, before_seq=5), Page((STORED,), 5)),
    "erase": (lambda store: store.erase("u", "s"), 2),
    "sessions": (lambda store: store.sessions("u", limit=7, after="s"), (SessionInfo("u s", 7, 1, 0.0),)),
    "take_turn": (
        lambda store: store.take_turn(HERE, token="a", ttl_seconds=30.0, last_turns=2),
        Window((STORED, STORED), 1),
    ),
    "keep_turn": (lambda store: store.keep_turn(HERE, token="a", ttl_seconds=30.0), True),
    "give_turn": (lambda store: store.give_turn(HERE, token="a"), None),
    "claim": (
        lambda store: store.claim(
            KEY, fingerprint="f", turn_id="t", ttl_seconds=2.0, running_ttl_seconds=1.0
        ),
        Claim("new", "f", "t", b"2.0 1.0"),
    ),
    "finish": (lambda store: store.finish(KEY, turn_id="t", response=b"r", ttl_seconds=2.0), True),
    "abandon": (lambda store: store.abandon(KEY, turn_id="t"), None),
}


@pytest.mark.parametrize("operation", CALLS)
async def test_a_call_that_succeeds_is_passed_through_and_told(room: _Room, operation: str) -> None:
    """Arguments and results are the store's own; one event says how long it took."""
    call, expected = CALLS[operation]

    pending = await _begin(call(room.store))
    room.clock.advance(0.25)
    room.slow.may_end.set()

    assert await pending == expected
    assert room.told() == [("slow", operation, "success", 0.25)]


@pytest.mark.parametrize("operation", CALLS)
async def test_a_call_that_fails_raises_the_stores_error(room: _Room, operation: str) -> None:
    """The error comes through untouched and is told as such."""
    room.slow.fails_with = MemoryUnavailableError()
    room.slow.may_end.set()

    with pytest.raises(MemoryUnavailableError) as raised:
        await CALLS[operation][0](room.store)

    assert raised.value is room.slow.fails_with
    assert room.told() == [("slow", operation, "error", 0.0)]


@pytest.mark.parametrize("operation", [name for name in CALLS if name not in FINISHING])
async def test_a_call_past_its_limit_is_ended(room: _Room, operation: str) -> None:
    """At timeout_seconds the caller is told and the store's own call is cancelled."""
    pending = await _begin(CALLS[operation][0](room.store))

    room.clock.advance(1.0)
    with pytest.raises(MemoryUnavailableError, match="in time"):
        await pending
    await asyncio.sleep(0)

    assert room.slow.cancelled == [operation]
    assert room.told() == [("slow", operation, "timeout", 1.0)]


@pytest.mark.parametrize("error", [None, MemoryUnavailableError()])
async def test_a_commit_past_its_limit_goes_on(room: _Room, error: Exception | None) -> None:
    """The caller is told in time, the turn is stored whole or not at all; a late failure disturbs nobody."""
    room.slow.fails_with = error
    pending = await _begin(room.store.commit(HERE, TURN, base_seq=0))
    room.clock.advance(1.0)
    with pytest.raises(MemoryUnavailableError, match="in time"):
        await pending
    assert repr(room.store) == "<ObservedStore 1 calls on <slow>>"

    await room.store.close()

    assert room.slow.ended == ["commit"]
    assert room.told() == [("slow", "commit", "timeout", 1.0)]
    assert repr(room.store) == "<ObservedStore 0 calls on <slow>>"


@pytest.mark.parametrize(("operation", "ended"), [("commit", ["commit"]), ("read", [])])
async def test_a_cancelled_caller_ends_reads_and_not_commits(
    room: _Room, operation: str, ended: list[str]
) -> None:
    """Cancellation is no outcome: a read ends with its caller, a commit goes on, neither is told."""
    pending = await _begin(CALLS[operation][0](room.store))

    pending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pending
    await room.store.close()

    assert room.slow.ended == ended
    assert room.told() == []


async def test_no_timer_outlives_its_call(room: _Room) -> None:
    """The limit of a finished call does not wait on for nothing: under load timers would pile up."""
    room.slow.may_end.set()
    await room.store.ping()

    room.clock.advance(10.0)

    assert room.clock.made == 0


async def test_start_and_close_are_the_stores_own(room: _Room) -> None:
    """The decorator adds nothing to the store's life, and goes by its name."""
    await room.store.start()
    await room.store.close()

    assert (room.slow.started, room.slow.closed) == (True, True)
    assert room.store.backend == "slow"


async def _fail(room: _Room, error: Exception, times: int) -> None:
    room.slow.fails_with = error
    room.slow.may_end.set()
    for _ in range(times):
        with pytest.raises(MemoryUnavailableError):
            await room.store.ping()


@pytest.mark.parametrize("operation", [name for name in CALLS if name not in FINISHING])
async def test_a_store_that_fails_is_asked_no_more_for_a_while(room: _Room, operation: str) -> None:
    """Refused at once, with the time to come back; told as such; the store itself hears nothing."""
    await _fail(room, MemoryUnavailableError(), 3)

    with pytest.raises(MemoryUnavailableError, match="rest") as refused:
        await CALLS[operation][0](room.store)

    assert refused.value.retry_after_seconds == 5.0
    assert room.slow.ended == ["ping"] * 3
    assert room.told()[-1] == ("slow", operation, "refused", 0.0)


@pytest.mark.parametrize("operation", sorted(FINISHING))
async def test_what_was_begun_is_finished_whatever_the_breaker_says(room: _Room, operation: str) -> None:
    """An answer exists already: it is worth a try, and what comes of it moves no open breaker."""
    await _fail(room, MemoryUnavailableError(), 3)
    room.slow.fails_with = None

    assert await CALLS[operation][0](room.store) == CALLS[operation][1]

    assert room.breaker.state is BreakerState.OPEN


async def test_a_store_that_is_back_is_found_by_one_probe(room: _Room) -> None:
    """After the rest one call goes through, and when it succeeds all do."""
    await _fail(room, MemoryUnavailableError(), 3)
    room.slow.fails_with = None
    room.clock.advance(5.0)

    await room.store.ping()

    assert room.breaker.state is BreakerState.CLOSED


async def test_calls_that_take_too_long_open_the_breaker(room: _Room) -> None:
    """A store that hangs is as dead as one that fails."""
    for _ in range(3):
        pending = await _begin(room.store.ping())
        room.clock.advance(1.0)
        with pytest.raises(MemoryUnavailableError):
            await pending

    assert room.breaker.state is BreakerState.OPEN


async def test_callers_who_leave_say_nothing_of_the_store(room: _Room) -> None:
    """Many of them do not open the breaker."""
    for _ in range(9):
        pending = await _begin(room.store.ping())
        pending.cancel()
        await asyncio.wait({pending})

    assert room.breaker.state is BreakerState.CLOSED


async def test_one_bad_record_does_not_stop_the_others(room: _Room) -> None:
    """A conversation that cannot be read is its own trouble, however often it is asked for."""
    await _fail(room, RecordUnusableError(), 9)

    assert room.breaker.state is BreakerState.CLOSED


async def test_a_timeout_is_told_where_it_was_waited_for(room: _Room) -> None:
    """Whoever waits longest has the timer; what others waited for is not told as its own."""
    asked_by: ContextVar[str] = ContextVar("asked_by", default="nobody")
    waiters: list[str] = []

    class Listener:
        def observe(self, event: object) -> None:
            waiters.append(asked_by.get())

    store = ObservedStore(
        room.slow, observer=Listener(), clock=room.clock, breaker=room.breaker, timeout_seconds=1.0
    )

    async def read_as(name: str) -> None:
        asked_by.set(name)
        with pytest.raises(MemoryUnavailableError):
            await store.read(HERE, last_turns=1)

    readers = [await _begin(read_as(name)) for name in ("ada", "bob")]
    room.clock.advance(1.0)
    await asyncio.gather(*readers)
    assert waiters == ["ada", "bob"]
