"""A query that is interrupted at any of its awaits, once or twice, leaves nothing behind and is told once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agent_service.core.errors import ServiceError
from agent_service.core.pool import PoolOptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_service.core.messages import Answer
    from agent_service.core.run import Run
    from tests.runtime.conftest import Service

    Open = Callable[..., Awaitable[Service]]
    Interruption = Callable[[Service, asyncio.Task[Answer]], object]

LONGEST_PATH_TICKS = 90
"""More turns of the loop than the query below takes when nobody interrupts it."""

INTERRUPTIONS: dict[str, Interruption] = {
    "the caller leaves": lambda _, asking: asking.cancel(),
    "the program's deadline": lambda service, _: service.clock.advance(29.0),
    "the query's limit": lambda service, _: service.clock.advance(30.0),
    "drain": lambda service, _: service.runner.drain(),
    "shutdown": lambda service, _: service.runner.stop_all(),
}


async def pause(*_: object) -> None:
    """Give way to others, several times."""
    for _turn in range(3):
        await asyncio.sleep(0)


async def working(run: Run) -> str:
    """A program with a wait at a seam, one outside, and one with work beside it."""
    with run.interruptible():
        await pause()
    await asyncio.sleep(0)
    beside = asyncio.ensure_future(pause())
    run.hold_for(beside)  # type: ignore[arg-type] # a Future is invariant in its result
    with run.interruptible():
        await asyncio.shield(beside)
    return "done"


async def asked_behind_another(open_service: Open) -> tuple[Service, asyncio.Task[Answer]]:
    """A query that waits for the only slot, which the one before it will give back."""
    service = await open_service(pool=PoolOptions(size=1, wait_seconds=60.0))
    service.script = working
    service.store.before_read = service.store.before_commit = pause
    service.begin("first", user="first")
    return service, service.begin("second", user="second")


async def test_the_path_is_shorter_than_what_is_walked(open_service: Open) -> None:
    """The tests below reach the end of the query, and stand still at every turn before it."""
    service, asking = await asked_behind_another(open_service)
    ticks = 0
    while not asking.done():
        await asyncio.sleep(0)
        ticks += 1
    assert 30 < ticks < LONGEST_PATH_TICKS
    assert (await asking).stored
    await service.assert_at_rest()


@pytest.mark.parametrize("second", INTERRUPTIONS)
@pytest.mark.parametrize("first", INTERRUPTIONS)
async def test_an_interrupted_query_is_whole_or_absent(open_service: Open, first: str, second: str) -> None:
    """At each turn of the loop, with the second interruption at once or soon after the first."""
    for ticks in range(1, LONGEST_PATH_TICKS):
        for ticks_between in (0, 1, 2, 4):
            service, asking = await asked_behind_another(open_service)
            await service.settle(ticks)
            INTERRUPTIONS[first](service, asking)
            await service.settle(ticks_between)
            INTERRUPTIONS[second](service, asking)
            await service.settle(LONGEST_PATH_TICKS)
            await assert_told_once(service, asking)
            await service.assert_at_rest()


@pytest.mark.parametrize("ticks", range(1, LONGEST_PATH_TICKS))
async def test_a_caller_who_leaves_is_not_kept(open_service: Open, ticks: int) -> None:
    """A cancellation ends the call as one, whatever it meets on its way."""
    service, asking = await asked_behind_another(open_service)
    await service.settle(ticks)
    if asking.cancel():
        await asyncio.wait({asking})
        assert asking.cancelled()
    await service.assert_at_rest()


async def assert_told_once(service: Service, asking: asyncio.Task[Answer]) -> None:
    """The caller's end is the one that was told, and the turn is stored when it had to be."""
    (end,) = [end for end in service.finished if end.request_id == "r-second"]
    kept = await service.kept("second")
    if asking.cancelled():
        assert end.code == "cancelled"
        assert kept in ([], ["second"])
    elif isinstance(error := asking.exception(), ServiceError):
        assert end.code == error.code
        assert kept == []
    else:
        answer = await asking
        assert (end.code, end.stored) == (None, answer.stored)
        assert kept == ["second"]
