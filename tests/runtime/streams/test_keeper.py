"""Events on their way to the log: in batches, off the path of the runs, within bounds."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.core.messages import Answer, ConversationId, Query
from agent_service.core.stream_events import StreamEvent
from agent_service.memory.base import unavailable
from agent_service.memory.event_log.base import EventLogOptions
from agent_service.memory.event_log.in_memory import InMemoryEventLog
from agent_service.runtime.streams.keeper import FLUSH_SECONDS, RETRY_SECONDS, EventKeeper, KeeperOptions
from agent_service.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent_service.core.errors import ServiceError
    from agent_service.memory.event_log.base import StreamPart


class Presentation:
    """Errors, in short."""

    def answer(self, answer: Answer) -> str:
        raise NotImplementedError

    def problem(self, error: ServiceError, request_id: str) -> str:
        return json.dumps({"error": error.code, "request_id": request_id})


class WatchedLog(InMemoryEventLog):
    """A log that counts, waits and fails when told to."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(EventLogOptions(), clock=clock)
        self.appends: list[int] = []
        self.failing = False
        self.gate: asyncio.Event | None = None

    async def append(self, parts: Sequence[StreamPart]) -> None:
        self.appends.append(len(parts))
        if self.gate is not None:
            await self.gate.wait()
        if self.failing:
            raise unavailable()
        await super().append(parts)


class Desk:
    """A keeper over a watched log."""

    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock()
        self.log = WatchedLog(self.clock)
        self.keeper = EventKeeper(
            log=self.log, presentation=Presentation(), clock=self.clock, options=KeeperOptions(**options)
        )

    def keep(self, request_id: str = "r", at: ConversationId | None = None) -> Callable[[StreamEvent], None]:
        return self.keeper.keep(Query(request_id, at or ConversationId("ada", "s"), "?"))

    async def passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for _ in range(20):
            await asyncio.sleep(0)

    async def ids(self, request_id: str = "r") -> list[int]:
        found = await self.log.read("ada", request_id, after=0, limit=1000)
        return [] if found is None else [event.id for event in found.events]


def _event(number: int, data: str = "{}", kind: str = "tool.started") -> StreamEvent:
    return StreamEvent(number, "run.started" if number == 1 else kind, data)


@pytest.fixture
async def desk() -> Desk:
    """One with room for everything."""
    made = Desk()
    await made.log.start()
    return made


async def test_events_of_all_streams_go_in_one_batch(desk: Desk) -> None:
    """The log is written about ten times a second, however many streams and events there are."""
    first, second = desk.keep("r1"), desk.keep("r2")
    for number in range(1, 50):
        first(_event(number))
        second(_event(number))
    assert desk.log.appends == []

    await desk.passes(FLUSH_SECONDS)
    assert desk.log.appends == [2]
    assert await desk.ids("r1") == await desk.ids("r2") == list(range(1, 50))

    await desk.passes(FLUSH_SECONDS)
    assert desk.clock.pending == 0
    assert repr(desk.keeper) == "<EventKeeper 2 streams open, 0 B waiting>"


async def test_what_comes_during_an_append_waits_for_the_next(desk: Desk) -> None:
    """A slow log makes the batches larger, and no run wait."""
    desk.log.gate = asyncio.Event()
    keep = desk.keep()
    keep(_event(1))
    await desk.passes(FLUSH_SECONDS)
    keep(_event(2))
    keep(_event(3, kind="answer"))
    desk.log.gate.set()
    await desk.passes(0)
    await desk.passes(FLUSH_SECONDS)

    assert desk.log.appends == [1, 1]
    assert await desk.ids() == [1, 2, 3]


async def test_a_log_that_fails_is_tried_again(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is lost while it fits; the log of the process says it once."""
    desk.log.failing = True
    keep = desk.keep()
    keep(_event(1))
    await desk.passes(FLUSH_SECONDS)
    keep(_event(2))
    await desk.passes(RETRY_SECONDS)
    desk.log.failing = False
    await desk.passes(RETRY_SECONDS)

    assert await desk.ids() == [1, 2]
    assert caplog.text.count("cannot be kept for now") == 1


async def test_too_much_that_waits_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """A log that is down does not fill the memory; those streams cannot be picked up, others can."""
    desk = Desk(waiting_bytes=1000)
    await desk.log.start()
    desk.log.failing = True
    keep = desk.keep("r1")
    for number in range(1, 20):
        keep(_event(number, "x" * 100))
    desk.log.failing = False
    later = desk.keep("r2")
    later(_event(1))
    await desk.passes(RETRY_SECONDS)

    assert await desk.ids("r1") == []
    assert await desk.ids("r2") == [1]
    assert "1 streams cannot be picked up again" in caplog.text


async def test_a_stream_that_is_too_long_ends_with_a_typed_event() -> None:
    """Who picks it up is told, instead of waiting for what was not kept."""
    desk = Desk(stream_bytes=1000)
    await desk.log.start()
    keep = desk.keep()
    for number in range(1, 20):
        keep(_event(number, "x" * 200))
    keep(_event(20, kind="answer"))
    await desk.passes(FLUSH_SECONDS)

    found = await desk.log.read("ada", "r", after=0, limit=100)
    assert found is not None
    assert found.has_ended
    assert len(found.events) < 10
    assert json.loads(found.events[-1].data) == {"error": "memory_unavailable", "request_id": "r"}


async def test_an_answer_that_was_given_before_is_not_kept(desk: Desk) -> None:
    """It has no steps, and would take the place of the stream that had."""
    keep = desk.keep()
    keep(StreamEvent(1, "answer.delta", "{}"))
    keep(StreamEvent(2, "answer", "{}"))
    await desk.passes(FLUSH_SECONDS)

    assert desk.log.appends == []


@pytest.mark.parametrize(("session_id", "left"), [(None, []), ("s", ["r2"])])
async def test_erasing_takes_what_waits_along(desk: Desk, session_id: str | None, left: list[str]) -> None:
    """What was told before the erasing is gone from log and buffer, and what is told after is not kept."""
    keeps = [desk.keep("r1"), desk.keep("r2", ConversationId("ada", "other"))]
    for keep in keeps:
        keep(_event(1))
    await desk.passes(FLUSH_SECONDS)
    desk.log.gate = asyncio.Event()
    for keep in keeps:
        keep(_event(2))
    await desk.passes(FLUSH_SECONDS)
    erasing = asyncio.create_task(desk.keeper.erase("ada", session_id))
    await desk.passes(0)
    desk.log.gate.set()
    await erasing
    for keep in keeps:
        keep(_event(3))
    await desk.passes(FLUSH_SECONDS)

    assert [name for name in ("r1", "r2") if await desk.ids(name)] == left


async def test_the_last_events_are_kept_at_the_end(desk: Desk) -> None:
    """A service that stops leaves its streams whole, and no timer behind."""
    keep = desk.keep()
    keep(_event(1))
    keep(_event(2, kind="error"))
    await desk.keeper.flushed(within_seconds=2.0)

    assert await desk.ids() == [1, 2]
    assert desk.clock.pending == 0


async def test_the_end_waits_for_a_batch_under_way(desk: Desk) -> None:
    """And goes on with what came meanwhile."""
    desk.log.gate = asyncio.Event()
    keep = desk.keep()
    keep(_event(1))
    await desk.passes(FLUSH_SECONDS)
    keep(_event(2, kind="error"))
    ending = asyncio.create_task(desk.keeper.flushed(within_seconds=2.0))
    await desk.passes(0)
    desk.log.gate.set()
    await ending

    assert await desk.ids() == [1, 2]
    assert desk.clock.pending == 0


async def test_the_end_has_an_end(desk: Desk) -> None:
    """A log that does not answer holds the service up for so long only."""
    desk.log.gate = asyncio.Event()
    desk.keep()(_event(1))
    ending = asyncio.create_task(desk.keeper.flushed(within_seconds=2.0))
    await desk.passes(0)
    await desk.passes(1.0)
    assert not ending.done()
    await desk.passes(1.0)

    assert ending.done()
    desk.log.gate.set()
    await desk.passes(0)


@pytest.mark.parametrize("options", [{"stream_bytes": 0}, {"waiting_bytes": 0}])
def test_bounds_of_nothing_are_refused(options: dict[str, int]) -> None:
    """Nothing could be kept."""
    with pytest.raises(ValueError, match="at least 1"):
        KeeperOptions(**options)
