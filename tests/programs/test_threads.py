"""The service's own threads: bounded, inheriting, held for by the run; and the way back to the loop."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import CancelledError
from contextvars import ContextVar
from typing import TYPE_CHECKING

import pytest

from agent_service.core.clock import Deadline
from agent_service.core.run import Run
from agent_service.programs.threads import LoopBridge, WorkThreads
from agent_service.testing import FakeClock, RecordingObserver
from tests.programs.conftest import eventually, ticks

if TYPE_CHECKING:
    from collections.abc import Iterator

COLOUR: ContextVar[str] = ContextVar("COLOUR", default="none")


@pytest.fixture
def run(clock: FakeClock) -> Run:
    """A query's run."""
    return Run(request_id="r1", deadline=Deadline.after(clock, 30), clock=clock, observer=RecordingObserver())


@pytest.fixture
def threads() -> Iterator[WorkThreads]:
    """One thread."""
    one = WorkThreads("work", size=1)
    yield one
    one.close()


async def test_work_runs_in_a_named_thread_with_the_caller_s_context(run: Run, threads: WorkThreads) -> None:
    """What surrounds the caller surrounds the work; stack dumps say whose thread it is."""
    COLOUR.set("blue")
    name, colour = await threads.do(run, lambda: (threading.current_thread().name, COLOUR.get()))
    assert name.startswith("work")
    assert colour == "blue"


async def test_what_the_work_raises_is_raised(run: Run, threads: WorkThreads) -> None:
    """An error crosses the thread as it is."""

    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await threads.do(run, fail)


async def test_stop_iteration_is_an_error_like_any_other(run: Run, threads: WorkThreads) -> None:
    """A future cannot carry it: without care the caller would wait for ever."""
    with pytest.raises(RuntimeError, match="StopIteration"):
        await asyncio.wait_for(threads.do(run, lambda: next(iter(()))), 5)


async def test_the_run_is_held_until_a_left_thread_ends(run: Run, threads: WorkThreads) -> None:
    """A thread cannot be interrupted: its caller may go at once, its slot stays taken."""
    go = threading.Event()
    task = asyncio.create_task(threads.do(run, go.wait))
    await ticks()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert not run.is_settled

    go.set()
    await asyncio.wait_for(run.settled(), 5)
    assert run.is_settled


async def test_an_error_after_the_caller_left_is_not_reported_as_forgotten(
    run: Run, threads: WorkThreads, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is left to tell, and the log is not the place to cry."""
    go = threading.Event()

    def fail() -> None:
        go.wait()
        raise KeyError("x")

    task = asyncio.create_task(threads.do(run, fail))
    await ticks()
    task.cancel()
    await asyncio.wait({task})
    go.set()
    await run.settled()
    del task
    gc.collect()  # asyncio reports an outcome that nobody looked at when it is collected
    await ticks()
    assert caplog.records == []


async def test_work_that_waited_for_a_thread_does_not_begin_when_its_caller_left(
    run: Run, threads: WorkThreads
) -> None:
    """After a stop nothing begins: queued work is dropped, and the slot it held is free."""
    go, begun = threading.Event(), threading.Event()
    busy = asyncio.create_task(threads.do(run, go.wait))
    queued = asyncio.create_task(threads.do(run, begun.set))
    await ticks()
    queued.cancel()
    await asyncio.wait({queued})
    go.set()
    await busy
    await asyncio.wait_for(run.settled(), 5)
    assert not begun.is_set()


async def test_no_more_work_than_threads_at_once(run: Run) -> None:
    """More work waits its turn."""
    two, go, busy = WorkThreads("work", size=2), threading.Event(), threading.Semaphore(0)

    def work() -> None:
        busy.release()
        go.wait()

    tasks = [asyncio.create_task(two.do(run, work)) for _ in range(3)]
    await eventually(lambda: busy._value == 2)  # noqa: SLF001 - a semaphore has no other way to be looked at
    go.set()
    await asyncio.gather(*tasks)
    two.close()


async def test_the_bridge_knows_its_loop() -> None:
    """Only the thread that runs the service's loop is on it."""
    bridge = LoopBridge()
    assert not bridge.on_service_loop()
    bridge.attach()
    assert bridge.on_service_loop()
    assert not await asyncio.to_thread(bridge.on_service_loop)


async def test_the_bridge_carries_the_caller_s_context() -> None:
    """The coroutine sees what its caller's thread saw."""
    bridge = LoopBridge()
    bridge.attach()

    async def colour() -> str:
        return COLOUR.get()

    def ask() -> str:
        COLOUR.set("green")
        return bridge.wait(colour())

    assert await asyncio.to_thread(ask) == "green"


async def test_detaching_lets_go_of_waiting_threads() -> None:
    """A thread that waits for a loop that ends would keep the process from ending, too."""
    bridge, waiting = LoopBridge(), asyncio.Event()
    bridge.attach()

    async def hang() -> None:
        waiting.set()
        await asyncio.Event().wait()

    def wait() -> bool:
        with pytest.raises(CancelledError):
            bridge.wait(hang())
        return True

    thread = asyncio.ensure_future(asyncio.to_thread(wait))
    await waiting.wait()
    bridge.detach()
    assert await asyncio.wait_for(thread, 5)
    assert not bridge.on_service_loop()
    with pytest.raises(RuntimeError, match="not running"):
        await asyncio.to_thread(bridge.wait, asyncio.sleep(0))


def test_the_bridge_refuses_when_nothing_runs() -> None:
    """Before the start and after the end a call fails with a reason, and leaves no coroutine behind."""
    bridge, loop = LoopBridge(), asyncio.new_event_loop()
    with pytest.raises(RuntimeError, match="not running"):
        bridge.wait(asyncio.sleep(0))

    async def attach() -> None:
        bridge.attach()

    loop.run_until_complete(attach())
    loop.close()
    with pytest.raises(RuntimeError, match="not running"):
        bridge.wait(asyncio.sleep(0))
