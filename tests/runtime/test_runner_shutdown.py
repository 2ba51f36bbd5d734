"""The end of the service as queries see it: none begins, those in flight finish or are told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agent_service.core.errors import ServiceError, ShuttingDownError
from agent_service.core.pool import PoolOptions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_service.core.messages import Answer
    from agent_service.core.run import Run
    from tests.runtime.conftest import Service

    Open = Callable[..., Awaitable[Service]]


def answering_after(released: asyncio.Event) -> Callable[[Run], Awaitable[str]]:
    """A program that answers when it is let."""

    async def answer(run: Run) -> str:
        with run.interruptible():
            await released.wait()
        return "done"

    return answer


async def error_of(task: asyncio.Task[Answer]) -> ServiceError:
    """How the query failed."""
    await asyncio.wait({task}, timeout=5)
    error = task.exception()
    assert isinstance(error, ServiceError)
    return error


async def test_a_drain_lets_those_in_flight_finish(open_service: Open) -> None:
    """New queries and waiting ones are refused; it is drained when the running one is stored."""
    service = await open_service(pool=PoolOptions(size=1))
    released = asyncio.Event()
    service.script = answering_after(released)
    running, waiting = await service.begun("running"), await service.begun("waiting")

    service.runner.drain()
    service.runner.drain()
    drained = asyncio.create_task(service.runner.drained())
    late = service.begin("late")

    assert isinstance(await error_of(waiting), ShuttingDownError)
    assert isinstance(await error_of(late), ShuttingDownError)
    await service.settle()
    assert not drained.done()
    released.set()
    assert (await running).stored
    await drained
    assert sorted((end.request_id, end.code) for end in service.finished if end.code) == [
        ("r-late", "shutting_down"),
        ("r-waiting", "shutting_down"),
    ]
    await service.assert_at_rest()


async def test_without_queries_it_is_drained_at_once(service: Service) -> None:
    """Nothing is waited for when there is nothing."""
    service.runner.drain()
    await service.runner.drained()
    await service.runner.stored()


async def test_it_is_not_drained_while_a_thread_works(service: Service) -> None:
    """Work that nobody listens to is work in flight all the same; for ``stored`` it has nothing to store."""
    thread: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    async def answering(run: Run) -> str:
        run.hold_for(thread)
        return "4"

    service.script = answering
    await service.begin()
    drained = asyncio.create_task(service.runner.drained())
    await service.settle()

    assert not drained.done()
    await service.runner.stored()
    thread.set_result(None)
    await drained
    await service.assert_at_rest()


async def test_it_is_not_drained_while_a_turn_of_one_who_left_is_stored(service: Service) -> None:
    """A commit is waited for, whether or not its caller is still there."""
    may_store = asyncio.Event()

    async def slow(user: str) -> None:
        await may_store.wait()

    service.store.before_commit = slow
    asking = await service.begun()
    asking.cancel()
    ends = [asyncio.create_task(service.runner.drained()), asyncio.create_task(service.runner.stored())]
    await service.settle()
    assert not any(end.done() for end in ends)
    may_store.set()
    await asyncio.gather(*ends)

    assert await service.kept() == ["Hi?"]
    await service.assert_at_rest()


async def test_a_shutdown_tells_every_caller(open_service: Open) -> None:
    """Queries in the program and in the queue end as shutting down, within the loop's next turns."""
    service = await open_service(pool=PoolOptions(size=2))
    service.script = answering_after(asyncio.Event())
    asked = [await service.begun(question) for question in ("one", "two", "waiting")]

    service.runner.drain()
    service.runner.stop_all()
    await service.runner.stored()

    assert [type(await error_of(task)) for task in asked] == [ShuttingDownError] * 3
    assert [end.code for end in service.finished] == ["shutting_down"] * 3
    assert await service.kept() == []
    await service.assert_at_rest()


@pytest.mark.parametrize("ticks", range(4))
async def test_a_shutdown_reaches_one_who_is_just_given_a_slot(open_service: Open, ticks: int) -> None:
    """Between the queue and the program no query slips through."""
    service = await open_service(pool=PoolOptions(size=1))
    released = asyncio.Event()
    service.script = answering_after(released)
    first, second = await service.begun("first"), await service.begun("second")
    second_may_not_run = service.program.calls.copy()
    first.cancel()
    for _ in range(ticks):
        await asyncio.sleep(0)
    service.runner.stop_all()
    released.set()

    assert isinstance(await error_of(second), ShuttingDownError)
    assert service.program.calls == second_may_not_run
    await service.assert_at_rest()


async def test_a_shutdown_does_not_take_back_an_answer_that_is_stored(service: Service) -> None:
    """A query whose turn is on its way into the store is answered."""
    may_store = asyncio.Event()

    async def slow(user: str) -> None:
        await may_store.wait()

    service.store.before_commit = slow
    asking = await service.begun()
    service.runner.stop_all()
    await service.settle()
    assert not asking.done()
    may_store.set()
    assert (await asking).stored
    await service.assert_at_rest()
