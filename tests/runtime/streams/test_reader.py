from __future__ import annotations

import asyncio

from agent_service.core.stream_events import StreamEvent
from agent_service.runtime.streams.reader import Reader
from agent_service.testing import FakeClock


def _event(number: int, data: str = "{}") -> StreamEvent:
    return StreamEvent(number, "step", data)


async def test_what_waits_is_taken_at_once_and_in_order() -> None:
    """A reader that was away gets everything, once."""
    reader = Reader(clock=FakeClock(), limit_bytes=1000)
    for number in (1, 2, 3):
        reader.put(_event(number))

    assert [event.id for event in await reader.take(15)] == [1, 2, 3]
    reader.put(_event(4))
    assert [event.id for event in await reader.take(15)] == [4]


async def test_a_wait_ends_with_news_or_with_its_time() -> None:
    """Nothing within the time is an answer too: a heartbeat is due."""
    clock = FakeClock()
    reader = Reader(clock=clock, limit_bytes=1000)

    waiting = asyncio.create_task(reader.take(15))
    await asyncio.sleep(0)
    clock.advance(15)
    assert await waiting == []

    waiting = asyncio.create_task(reader.take(15))
    await asyncio.sleep(0)
    reader.put(_event(1))
    assert [event.id for event in await waiting] == [1]
    assert clock.pending == 0


async def test_a_reader_that_is_too_slow_is_cut_off() -> None:
    """Whoever fills the buffer never waits; what is over the limit is dropped with all that waited."""
    reader = Reader(clock=FakeClock(), limit_bytes=1000)
    reader.put(_event(1, "x" * 2000))
    assert not reader.cut_off.done()

    reader.put(_event(2))

    assert reader.cut_off.done()
    assert repr(reader).startswith("<Reader 0 events")


async def test_a_closed_reader_holds_nothing() -> None:
    """A run that goes on without its reader fills no memory, and nobody is cut off."""
    reader = Reader(clock=FakeClock(), limit_bytes=10)
    reader.put(_event(1, "x" * 20))
    reader.close()
    for number in range(2, 10):
        reader.put(_event(number, "x" * 20))

    assert not reader.cut_off.done()
    assert repr(reader).startswith("<Reader 0 events")
