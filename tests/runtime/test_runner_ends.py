"""The ends of a query: the caller leaves, the deadline passes, the service stops. Each is told once."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from agent_service.core.errors import DeadlineExceededError, ServiceError
from agent_service.core.pool import PoolOptions
from agent_service.core.run import RunStoppedError, StopReason
from agent_service.runtime.turns import TurnOptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_service.core.messages import Answer
    from agent_service.core.run import Run
    from tests.runtime.conftest import Service

    Open = Callable[..., Awaitable[Service]]


def deaf_until(released: asyncio.Event) -> Callable[[Run], Awaitable[str]]:
    """A program that swallows what would end it, and answers in the end."""

    async def deaf(run: Run) -> str:
        with run.interruptible():
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            await released.wait()
        return "too late"

    return deaf


def threaded_until(released: asyncio.Future[object]) -> Callable[[Run], Awaitable[str]]:
    """A program whose thread cannot be interrupted."""

    async def threaded(run: Run) -> str:
        run.hold_for(released)
        with run.interruptible():
            await asyncio.shield(released)
        return "too late"

    return threaded


async def error_of(task: asyncio.Task[Answer]) -> ServiceError:
    """How the query failed."""
    await asyncio.wait({task}, timeout=5)
    error = task.exception()
    assert isinstance(error, ServiceError)
    return error


async def no_answer(user: str) -> None:
    """A store that hangs."""
    await asyncio.Event().wait()


async def test_a_caller_who_leaves_the_queue_is_told_of_once(open_service: Open) -> None:
    """A cancelled wait gives its place back; the one who holds the slot is not disturbed."""
    service = await open_service(pool=PoolOptions(size=1))
    service.script = service.hang
    holding, waiting = await service.begun("holding"), await service.begun("waiting")
    waiting.cancel()
    await service.settle()

    assert waiting.cancelled()
    assert service.pool.stats.waiting == 0
    assert not holding.done()
    assert [(end.request_id, end.code) for end in service.finished] == [("r-waiting", "cancelled")]
    holding.cancel()
    await service.assert_at_rest()


@pytest.mark.parametrize("place", ["read", "run"])
async def test_a_caller_who_leaves_stops_the_run(service: Service, place: str) -> None:
    """What is awaited ends, the slot is free, nothing more is called and nothing is stored."""
    service.script = service.hang
    if place == "read":
        service.store.before_read = no_answer
    asking = await service.begun()
    asking.cancel()
    await service.settle()

    assert asking.cancelled()
    assert service.journal[-1] == place
    assert [(end.code, end.stored) for end in service.finished] == [("cancelled", False)]
    assert await service.kept() == []
    await service.assert_at_rest()


async def test_a_caller_who_leaves_while_the_turn_is_stored_loses_nothing(service: Service) -> None:
    """A commit that began is carried through: the turn is whole, whoever listens."""
    stored = asyncio.Event()

    async def slow(user: str) -> None:
        await stored.wait()

    service.store.before_commit = slow
    asking = await service.begun()
    asking.cancel()
    await service.settle()
    assert asking.cancelled()
    assert service.pool.stats.in_use == 1
    stored.set()
    await service.settle()

    assert await service.kept() == ["Hi?"]
    assert [end.code for end in service.finished] == ["cancelled"]
    await service.assert_at_rest()


async def test_the_deadline_ends_a_wait_for_a_slot(open_service: Open) -> None:
    """Nobody waits in the queue longer than the query may take."""
    service = await open_service(pool=PoolOptions(size=1, wait_seconds=60.0))
    service.script = service.hang
    holding = await service.begun("holding")
    waiting = await service.begun("waiting", timeout_seconds=5.0)
    service.clock.advance(4.5)

    assert isinstance(await error_of(waiting), DeadlineExceededError)
    assert [end.code for end in service.finished] == ["timeout"]
    holding.cancel()
    await service.assert_at_rest()


@pytest.mark.parametrize("place", ["read", "run"])
async def test_the_deadline_ends_the_run(open_service: Open, place: str) -> None:
    """A query that hangs, in the store or in the program, ends at its deadline and stores nothing."""
    service = await open_service(turns=TurnOptions(wait_seconds=60.0))
    service.script = service.hang
    if place == "read":
        service.store.before_read = no_answer
    asking = await service.begun(timeout_seconds=10.0)
    service.clock.advance(8.9)
    await service.settle()
    assert not asking.done()
    service.clock.advance(0.1)

    assert isinstance(await error_of(asking), DeadlineExceededError)
    assert service.journal[-1] == place
    (end,) = service.finished
    assert (end.code, round(end.latency_seconds, 6)) == ("timeout", 9.0)
    await service.assert_at_rest()


async def test_a_deadline_that_passed_before_it_began_costs_nothing(service: Service) -> None:
    """A query without any time is refused before the store is asked."""
    assert isinstance(await error_of(service.begin(timeout_seconds=0.0)), DeadlineExceededError)
    assert service.journal == []


@pytest.mark.parametrize("kind", ["deaf", "threaded"])
async def test_work_that_heeds_no_stop_keeps_its_slot_not_its_caller(open_service: Open, kind: str) -> None:
    """The caller is told at once; the slot is taken and counted as abandoned until the work ends."""
    service = await open_service(pool=PoolOptions(size=1, queue_limit=0))
    heard, thread = asyncio.Event(), asyncio.get_running_loop().create_future()
    service.script = deaf_until(heard) if kind == "deaf" else threaded_until(thread)
    asking = await service.begun()
    service.clock.advance(29.0)

    assert isinstance(await error_of(asking), DeadlineExceededError)
    await service.settle()
    assert (service.pool.stats.in_use, service.runner.abandoned) == (1, 1)
    heard.set()
    thread.set_result(None)
    await service.assert_at_rest()
    assert await service.kept() == []
    assert [end.code for end in service.finished] == ["timeout"]


async def test_an_answer_does_not_wait_for_a_thread_that_is_left_over(service: Service) -> None:
    """A thread of a tool that took too long keeps the slot, not the answer."""
    thread: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    async def answering(run: Run) -> str:
        run.hold_for(thread)
        return "4"

    service.script = answering
    assert (await service.begin()).stored
    await service.settle()
    assert (service.pool.stats.in_use, service.runner.abandoned) == (1, 1)
    thread.set_result(None)
    await service.assert_at_rest()


async def test_an_answer_of_a_stopped_run_is_not_stored(service: Service) -> None:
    """A program that answers although its caller was told otherwise has answered nobody."""
    heard = asyncio.Event()
    service.script = deaf_until(heard)
    asking = await service.begun()
    asking.cancel()
    await service.settle()
    heard.set()
    await service.assert_at_rest()

    assert service.journal == ["read", "run"]
    assert await service.kept() == []


@pytest.mark.parametrize("error", [ValueError("broken pipe"), asyncio.CancelledError()])
async def test_what_a_stopped_program_raises_does_not_hide_the_stop(
    service: Service, error: BaseException
) -> None:
    """A program that fails on being stopped was stopped: that is what the caller is told."""

    async def failing(run: Run) -> str:
        try:
            return await service.hang(run)
        except RunStoppedError:
            raise error from None

    service.script = failing
    asking = await service.begun()
    service.clock.advance(29.0)
    assert isinstance(await error_of(asking), DeadlineExceededError)
    assert [end.code for end in service.finished] == ["timeout"]
    await service.assert_at_rest()


async def test_what_nobody_waits_for_is_not_reported_as_forgotten(service: Service) -> None:
    """The record told how the query ended; asyncio has nothing to complain about when the rest fails."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: complaints.append(about))
    service.script = service.hang
    (await service.begun()).cancel()
    await service.assert_at_rest()
    gc.collect()
    assert complaints == []


async def test_a_check_after_the_answer_does_not_take_it_back(service: Service) -> None:
    """A straggler that meets the passed deadline while the turn is stored changes nothing."""
    runs: list[Run] = []

    async def answering(run: Run) -> str:
        runs.append(run)
        return "4"

    async def past_the_deadline(user: str) -> None:
        service.clock.advance(29.5)
        with pytest.raises(RunStoppedError):
            runs[0].check()

    service.script, service.store.before_commit = answering, past_the_deadline
    assert (await service.begin()).stored
    assert runs[0].stop_reason is StopReason.DEADLINE
