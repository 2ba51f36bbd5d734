"""The service's own threads, and the way from them back to the event loop.

DSPy's ``asyncify`` abandons a thread when its caller goes and forgets that it still works; here a run
holds its slot until its threads are done. User work never runs on the loop's default executor, because
every LM call of DSPy's needs that one.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from asyncio import _get_running_loop
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

    from agent_service.core.run import Run

T = TypeVar("T")


class WorkThreads:
    """A bounded set of threads for work that blocks.

    Args:
        name: prefix of the threads' names, for stack dumps.
        size: how many may work at once; more work waits its turn.
    """

    def __init__(self, name: str, *, size: int) -> None:
        self._executor = ThreadPoolExecutor(max_workers=size, thread_name_prefix=name)

    async def do(self, run: Run, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread, in the caller's context.

        Cancelling the call drops work that has not begun. It abandons the answer of work that has, not the
        thread: ``run`` holds its slot until it is done.
        """
        context = contextvars.copy_context()
        submitted = self._executor.submit(context.run, _without_stop_iteration, work)
        future = asyncio.wrap_future(submitted)
        future.add_done_callback(_retrieve)
        run.hold_for(future)  # type: ignore[arg-type] # a Future is invariant in its result, which is not looked at
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            submitted.cancel()
            raise

    def close(self) -> None:
        """Accept no more work; what runs is not waited for."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class LoopBridge:
    """Lets code on any thread wait for a coroutine of the service's event loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waited_for: set[Future[Any]] = set()
        self._lock = threading.Lock()

    def attach(self) -> None:
        """Name the running loop as the service's."""
        self._loop = asyncio.get_running_loop()

    def detach(self) -> None:
        """Let go of every thread that waits, for it would hold up the exit; refuse from now on."""
        with self._lock:
            self._loop, waited_for = None, list(self._waited_for)
        for future in waited_for:
            future.cancel()

    def on_service_loop(self) -> bool:
        """Whether the calling thread is the one that runs the service's loop."""
        return self._loop is not None and _get_running_loop() is self._loop

    def wait(self, coroutine: Coroutine[object, object, T]) -> T:
        """Run ``coroutine`` on the service's loop, in the caller's context, and block until it is done.

        Never call it on that loop's own thread.

        Raises:
            RuntimeError: when the service is not running.
            concurrent.futures.CancelledError: when it ended meanwhile.
        """
        return self._submit(coroutine).result()

    async def wait_from_another_loop(self, coroutine: Coroutine[object, object, T]) -> T:
        """The same for a task of another event loop, which goes on turning."""
        return await asyncio.wrap_future(self._submit(coroutine))

    def _submit(self, coroutine: Coroutine[object, object, T]) -> Future[T]:
        with self._lock:
            if self._loop is None or self._loop.is_closed():
                coroutine.close()
                raise RuntimeError("the service is not running, so its models and tools cannot be called")
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
            self._waited_for.add(future)
        future.add_done_callback(self._forget)
        return future

    def _forget(self, future: Future[Any]) -> None:
        with self._lock:
            self._waited_for.discard(future)


def _without_stop_iteration(work: Callable[[], T]) -> T:
    """A future cannot carry StopIteration: the caller would wait for ever."""
    try:
        return work()
    except StopIteration as error:
        raise RuntimeError("the work raised StopIteration") from error


def _retrieve(future: asyncio.Future[T]) -> None:
    """Look at the outcome of work whose caller left, so that it is not reported as forgotten."""
    if not future.cancelled():
        future.exception()
