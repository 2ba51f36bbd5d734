"""The contract of an event log, checked on every backend."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from agent_service.core.errors import MemoryUnavailableError
from agent_service.core.messages import ConversationId
from agent_service.core.stream_events import StreamEvent
from agent_service.memory.event_log.base import EventLog, EventLogOptions, StreamPart, Stretch
from agent_service.memory.event_log.in_memory import InMemoryEventLog
from agent_service.memory.event_log.redis import RedisEventLog
from agent_service.memory.event_log.sqlite import SqliteEventLog
from agent_service.memory.redis_connection import RedisOptions
from tests.redis_servers import DatedClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from agent_service.testing import FakeClock
    from tests.redis_servers import RedisClusterServers, RedisServer

TTL_SECONDS = 60.0
HERE = ConversationId("ada", "s1")


def _event(number: int, data: str = "{}", kind: str = "step") -> StreamEvent:
    return StreamEvent(number, kind, data)


def _part(
    first: int, last: int, *, at: ConversationId = HERE, request_id: str = "r1", run_id: str = "t1"
) -> StreamPart:
    events = tuple(_event(number, f'{{"n":{number}}}') for number in range(first, last + 1))
    return StreamPart(at, request_id, run_id, events)


def _last(number: int, *, run_id: str = "t1") -> StreamPart:
    return StreamPart(HERE, "r1", run_id, (_event(number, kind="answer"),))


@pytest.fixture
def new_log(
    backend: str, servers: RedisServer | RedisClusterServers | None, tmp_path: Path, clock: FakeClock
) -> Callable[[], EventLog]:
    """Makes a log of the backend under test, with nothing in it, not started."""
    numbers, options = count(), EventLogOptions(TTL_SECONDS)

    def make() -> EventLog:
        if servers is not None:
            redis_options = RedisOptions(servers.url, timeout_seconds=10.0)
            return RedisEventLog(options, redis_options, clock=DatedClock(clock))
        if backend == "memory":
            return InMemoryEventLog(options, clock=clock)
        return SqliteEventLog(options, tmp_path / f"{next(numbers)}.db", clock=clock)

    return make


@pytest.fixture
async def log(new_log: Callable[[], EventLog]) -> AsyncIterator[EventLog]:
    """A started log."""
    made = new_log()
    await made.start()
    yield made
    await made.close()


async def _ids(log: EventLog, *, user_id: str = "ada", request_id: str = "r1", after: int = 0) -> list[int]:
    found = await log.read(user_id, request_id, after=after, limit=1000)
    return [] if found is None else [event.id for event in found.events]


def test_a_life_of_nothing_is_refused() -> None:
    """Nothing could be read again."""
    with pytest.raises(ValueError, match="ttl_seconds"):
        EventLogOptions(0.0)


async def test_events_come_back_as_they_were_given(log: EventLog) -> None:
    """Text and all, in order, from any place on, at most so many at once."""
    events = (
        _event(1, '{"text":"é \\n \U0001f600"}', "answer.delta"),
        _event(2, "half \ud83d and \x00"),
        _event(3, "", "answer"),
    )
    await log.append([StreamPart(HERE, "r1", "t1", events)])

    assert await log.read("ada", "r1", after=0, limit=10) == Stretch(events, has_ended=True)
    assert await log.read("ada", "r1", after=1, limit=1) == Stretch(events[1:2], has_ended=True)
    assert await log.read("ada", "r1", after=3, limit=10) == Stretch((), has_ended=True)
    assert await log.read("ada", "r1", after=2**62, limit=10) == Stretch((), has_ended=True)


async def test_a_stream_grows_until_its_last_event(log: EventLog) -> None:
    """Readers are told whether more may come."""
    await log.append([_part(1, 2)])
    assert await log.read("ada", "r1", after=2, limit=10) == Stretch((), has_ended=False)

    await log.append([_part(3, 3), _last(4)])
    found = await log.read("ada", "r1", after=2, limit=1)
    assert found == Stretch((_event(3, '{"n":3}'),), has_ended=True)
    assert await _ids(log) == [1, 2, 3, 4]


async def test_an_append_that_is_repeated_changes_nothing(log: EventLog) -> None:
    """A reply may be lost, and the same events sent again with more behind them."""
    await log.append([_part(1, 3)])
    await log.append([_part(1, 3)])
    await log.append([_part(2, 5)])

    assert await _ids(log) == [1, 2, 3, 4, 5]


async def test_there_are_no_gaps(log: EventLog) -> None:
    """A reader that continues at an id has missed nothing before it."""
    await log.append([_part(1, 2)])
    await log.append([_part(5, 6)])

    assert await _ids(log) == [1, 2]


async def test_a_stream_is_its_users_alone(log: EventLog) -> None:
    """Another user, or another request, is another stream; unknown ones are None."""
    await log.append([_part(1, 1), _part(1, 2, at=ConversationId("bob", "s1"))])

    assert await _ids(log) == [1]
    assert await _ids(log, user_id="bob") == [1, 2]
    assert await log.read("eve", "r1", after=0, limit=10) is None
    assert await log.read("ada", "r2", after=0, limit=10) is None
    assert await log.read("ad", "ar1", after=0, limit=10) is None


async def test_a_later_stream_takes_the_place_of_an_earlier(log: EventLog) -> None:
    """Callers choose request ids and may repeat them: what is read is of one run, the newer one."""
    await log.append([_part(1, 3, run_id="old")])
    await log.append([_part(1, 1, run_id="new")])
    await log.append([_part(4, 5, run_id="old")])

    assert await _ids(log) == [1]
    await log.append([_part(2, 2, run_id="new")])
    assert await _ids(log) == [1, 2]


async def test_a_stream_expires_after_its_last_event(
    log: EventLog, pass_time: Callable[[float], Awaitable[None]]
) -> None:
    """Each append prolongs it; after its time it is gone whole and does not come back piecemeal."""
    await log.append([_part(1, 1)])
    await pass_time(TTL_SECONDS * 0.8)
    await log.append([_part(2, 2)])
    await pass_time(TTL_SECONDS * 0.8)
    assert await _ids(log) == [1, 2]

    await pass_time(TTL_SECONDS * 0.3)
    await log.append([_part(3, 3)])
    assert await log.read("ada", "r1", after=0, limit=10) is None
    await log.append([_part(1, 1, run_id="t2")])
    assert await _ids(log) == [1]


@pytest.mark.parametrize(("session_id", "left"), [(None, []), ("s1", ["r2"])])
async def test_erasing_removes_a_users_streams(
    log: EventLog, session_id: str | None, left: list[str]
) -> None:
    """All, or those of one conversation; other users' stay, and nothing comes back piecemeal."""
    await log.append(
        [
            _part(1, 2),
            _part(1, 2, at=ConversationId("ada", "s2"), request_id="r2"),
            _part(1, 2, at=ConversationId("bob", "s1")),
        ]
    )

    await log.erase("ada", session_id)
    await log.append([_part(3, 3)])

    assert [name for name in ("r1", "r2") if await _ids(log, request_id=name)] == left
    assert await _ids(log, user_id="bob") == [1, 2]


async def test_many_streams_are_appended_at_once(log: EventLog) -> None:
    """More than one exchange with the backend holds."""
    await log.append([_part(1, 1, request_id=f"r{number}") for number in range(250)])
    await log.erase("eve")

    assert all([await _ids(log, request_id=f"r{number}") == [1] for number in range(250)])
    await log.erase("ada")
    assert not any([await _ids(log, request_id=f"r{number}") for number in range(250)])


async def test_a_log_that_is_not_open_says_so(new_log: Callable[[], EventLog]) -> None:
    """Before start and after close, which may be called twice."""
    log = new_log()
    with pytest.raises(MemoryUnavailableError):
        await log.read("ada", "r1", after=0, limit=1)
    await log.start()
    await log.append([_part(1, 1)])
    await log.close()
    await log.close()
    with pytest.raises(MemoryUnavailableError):
        await log.append([_part(2, 2)])
