"""Streams that are picked up again: nothing is lost, nothing comes twice, and every wait has an end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent_service.core.errors import InternalError, NotFoundError
from agent_service.core.messages import ConversationId
from agent_service.core.stream_events import StreamEvent
from agent_service.memory.event_log.base import EventLogOptions, StreamPart
from agent_service.memory.event_log.in_memory import InMemoryEventLog
from agent_service.runtime.streams.resuming import (
    APPEARING_SECONDS,
    FIRST_PAUSE_SECONDS,
    KeptStreams,
    ResumeOptions,
)
from agent_service.testing import FakeClock


class Archive:
    """A log and who reads it."""

    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock()
        self.log = InMemoryEventLog(EventLogOptions(), clock=self.clock)
        self.streams = KeptStreams(log=self.log, clock=self.clock, options=ResumeOptions(**options))

    async def keep(self, first: int, last: int, *, ends: bool = False) -> None:
        events = [StreamEvent(number, "step", "{}") for number in range(first, last + 1)]
        if ends:
            events[-1] = StreamEvent(last, "answer", "{}")
        await self.log.append([StreamPart(ConversationId("ada"), "r", "run", tuple(events))])

    async def passes(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.05)):
            self.clock.advance(0.05)
            for _ in range(5):
                await asyncio.sleep(0)


@pytest.fixture
async def archive() -> Archive:
    """An empty one."""
    made = Archive(silence_seconds=5.0)
    await made.log.start()
    return made


async def test_a_stream_is_read_from_any_place_to_its_end(archive: Archive) -> None:
    """The events behind the one that was seen last, once each."""
    await archive.keep(1, 5, ends=True)
    stream = await archive.streams.resume("ada", "r", after=2)

    assert stream is not None
    assert [event.id for event in await stream.take(15)] == [3, 4, 5]


async def test_who_has_the_last_event_needs_no_more(archive: Archive) -> None:
    """Nothing follows, ever."""
    await archive.keep(1, 5, ends=True)

    assert await archive.streams.resume("ada", "r", after=5) is None


async def test_what_comes_later_is_read_when_it_comes(archive: Archive) -> None:
    """Live, a little late."""
    await archive.keep(1, 2)
    stream = await archive.streams.resume("ada", "r", after=2)
    assert stream is not None
    taking = asyncio.create_task(stream.take(15))
    await archive.passes(1.0)
    await archive.keep(3, 4)
    await archive.passes(0.3)

    assert [event.id for event in await taking] == [3, 4]
    await archive.keep(5, 5, ends=True)
    taking = asyncio.create_task(stream.take(15))
    await archive.passes(4 * FIRST_PAUSE_SECONDS)
    assert [event.id for event in await taking] == [5]
    assert archive.clock.pending == 0


async def test_silence_is_told_for_heartbeats(archive: Archive) -> None:
    """A wait ends with nothing."""
    await archive.keep(1, 2)
    stream = await archive.streams.resume("ada", "r", after=2)
    assert stream is not None
    taking = asyncio.create_task(stream.take(1.0))
    await archive.passes(1.2)

    assert await taking == ()


async def test_a_run_that_died_ends_its_readers_wait(archive: Archive) -> None:
    """No last event will ever come from a process that was killed."""
    await archive.keep(1, 2)
    stream = await archive.streams.resume("ada", "r", after=1)
    assert stream is not None
    assert len(await stream.take(15)) == 1
    taking = asyncio.create_task(stream.take(15))
    await archive.passes(5.5)

    with pytest.raises(InternalError, match="without a last event"):
        await taking


async def test_a_stream_that_expires_meanwhile_ends_its_readers_wait(archive: Archive) -> None:
    """What is erased or expired is not waited for."""
    await archive.keep(1, 2)
    stream = await archive.streams.resume("ada", "r", after=2)
    assert stream is not None
    await archive.log.erase("ada")
    taking = asyncio.create_task(stream.take(15))
    await archive.passes(0.2)

    with pytest.raises(NotFoundError):
        await taking


async def test_an_unknown_stream_is_not_found_after_a_moment(archive: Archive) -> None:
    """Its first events may be on their way to the log."""
    resuming = asyncio.create_task(archive.streams.resume("ada", "r", after=0))
    await archive.passes(APPEARING_SECONDS / 2)
    await archive.keep(1, 1)
    await archive.passes(0.1)
    assert await resuming is not None

    resuming = asyncio.create_task(archive.streams.resume("bob", "r", after=0))
    await archive.passes(APPEARING_SECONDS + 0.1)
    with pytest.raises(NotFoundError):
        await resuming


async def test_leaving_touches_nothing(archive: Archive) -> None:
    """The run is somebody else's."""
    await archive.keep(1, 1)
    stream = await archive.streams.resume("ada", "r", after=0)
    assert stream is not None
    stream.leave()

    assert [event.id for event in await stream.take(1)] == [1]
    assert not stream.cut_off.done()


def test_no_patience_is_refused() -> None:
    """Every run is silent at times."""
    with pytest.raises(ValueError, match="silence_seconds"):
        ResumeOptions(silence_seconds=0)
