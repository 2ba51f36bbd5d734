"""The life of the service: parts start in order and stop in reverse, whatever fails."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NoReturn

import pytest

from agent_service.core.errors import MemoryUnavailableError
from agent_service.memory.base import unavailable
from agent_service.runtime.lifecycle import Phase

if TYPE_CHECKING:
    from tests.runtime.conftest import Parts


async def test_parts_start_in_order_and_stop_in_reverse(parts: Parts) -> None:
    """What a part stands on is there before it and outlives it."""
    await parts.live()
    assert parts.log == ["start store", "start program", "ready", "close program", "close store"]


async def test_the_phases_follow_each_other(parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    """Each phase is entered once, told in the log and shown by repr."""
    caplog.set_level(logging.INFO)
    assert repr(parts.lifecycle) == "<Lifecycle starting>"
    async with parts.lifecycle.running():
        assert repr(parts.lifecycle) == "<Lifecycle ready>"
        parts.lifecycle.begin_drain()
        parts.lifecycle.begin_drain()
        assert repr(parts.lifecycle) == "<Lifecycle draining>"
    assert parts.lifecycle.phase is Phase.STOPPED
    assert [record.getMessage() for record in caplog.records] == [
        "the service is ready",
        "the service is draining",
        "the service is stopped",
    ]


@pytest.mark.parametrize("failing", ["start store", "start program"])
async def test_a_part_that_cannot_start_stops_the_others(parts: Parts, failing: str) -> None:
    """What was begun is closed again, the one that failed included, and the reason is raised."""
    reason = parts.failing[failing] = RuntimeError("port taken")

    with pytest.raises(RuntimeError) as raised:
        await parts.live()

    assert raised.value is reason
    assert "ready" not in parts.log
    begun = [entry.removeprefix("start ") for entry in parts.log if entry.startswith("start")]
    assert parts.log[len(begun) :] == [f"close {name}" for name in reversed(begun)]
    assert parts.lifecycle.phase is Phase.STOPPED


async def test_a_start_that_is_cancelled_is_undone(parts: Parts) -> None:
    """A signal during a slow start leaves nothing open."""

    async def slow() -> None:
        await asyncio.Event().wait()

    parts.service.program.start = slow  # type: ignore[method-assign] # the double has no script for this
    living = asyncio.create_task(parts.live())
    await parts.service.settle()
    living.cancel()
    await parts.service.settle()

    assert living.cancelled()
    assert parts.log == ["start store", "start program", "close program", "close store"]


async def test_a_part_that_cannot_stop_does_not_keep_the_others_up(parts: Parts) -> None:
    """A failing end is raised, after everything else has ended."""
    parts.failing["close program"] = RuntimeError("connection lost")
    with pytest.raises(RuntimeError, match="connection lost"):
        await parts.live()
    assert parts.log[-2:] == ["close program", "close store"]
    with pytest.raises(MemoryUnavailableError):
        await parts.service.store.ping()


async def test_an_error_from_within_stops_everything(parts: Parts) -> None:
    """However the service ends, its parts are closed."""

    async def broken() -> NoReturn:
        async with parts.lifecycle.running():
            raise ValueError("within")

    with pytest.raises(ValueError, match="within"):
        await broken()
    assert parts.log[-2:] == ["close program", "close store"]


async def test_background_work_lives_as_long_as_the_service(parts: Parts) -> None:
    """It begins when the parts are up and is cancelled, and awaited, before they are closed."""
    log: list[str] = []

    async def work() -> None:
        log.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            log.append(f"ended, program closed: {parts.service.program.closed}")

    parts.background += [work, work]
    async with parts.lifecycle.running():
        await parts.service.settle()
        assert log == ["begun", "begun"]
    assert log[2:] == ["ended, program closed: False"] * 2
    await parts.service.assert_at_rest()


async def test_background_work_that_fails_is_told_at_once_and_ends_nothing(
    parts: Parts, caplog: pytest.LogCaptureFixture
) -> None:
    """The service goes on, stops in order, and the log has the error when it happens."""

    async def broken() -> None:
        raise unavailable("The meter broke.")

    parts.background.append(broken)
    async with parts.lifecycle.running():
        await parts.service.settle()
        (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], MemoryUnavailableError)
        assert (await parts.service.begin()).stored
    assert parts.log[-2:] == ["close program", "close store"]
