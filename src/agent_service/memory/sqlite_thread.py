"""A thread that owns one SQLite connection, and runs what the event loop hands it in groups.

While one transaction runs and is synced to disk, the calls that arrive wait together; the next
transaction takes them all and costs one sync (group commit: DeWitt et al., "Implementation Techniques
for Main Memory Database Systems", SIGMOD 1984).

Nobody queues for SQLite's write lock, those who wait look for it now and then. A thread that always has work
would take it again before anybody looks; where others write too it leaves them a gap after each transaction.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from agent_service.memory.base import unavailable
from agent_service.memory.sqlite_schema import BUSY_STEP_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import apsw

_T = TypeVar("_T")

_MAX_GROUP = 256
"""Work in one transaction, so that the first of a long queue does not wait for the last."""

_TURN_SECONDS = 2 * BUSY_STEP_SECONDS
"""Long enough that whoever waits for the write lock has looked for it."""


@dataclass(frozen=True, slots=True)
class _Work:
    """Something to do, and who waits for it."""

    function: Callable[[apsw.Connection], object]
    future: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why one piece of work came to nothing."""

    cause: Exception


class SqliteThread:
    """Runs functions on its connection, in the order of their coming.

    Args:
        name: of the thread.
        open_connection: called on the thread at start.
        begin: how its transactions begin; ``BEGIN IMMEDIATE`` takes the file's write lock first.
        max_queued: work that may wait; more is refused.
        pause: lets seconds go by on the thread.
    """

    def __init__(
        self,
        *,
        name: str,
        open_connection: Callable[[], apsw.Connection],
        begin: Literal["BEGIN", "BEGIN IMMEDIATE"],
        max_queued: int,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name = name
        self._open_connection = open_connection
        self._begin = begin
        self._max_queued = max_queued
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._unsent: list[_Work] = []
        self._thread: threading.Thread | None = None
        self._ended: asyncio.Future[None] | None = None
        self._accepting = False
        self._pause = pause
        self._version: object = None

    def __repr__(self) -> str:
        state = "open" if self._accepting else "closed"
        return f"<SqliteThread {self._name} {state}, {self._queue.qsize()} queued>"

    async def start(self) -> None:
        """Open the connection; raises what opening raises. A thread is started once."""
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = loop.create_future()
        self._ended = loop.create_future()
        # A daemon, so that a process that never reaches close() can still end.
        self._thread = threading.Thread(
            target=self._main, args=(opened, self._ended), name=self._name, daemon=True
        )
        self._thread.start()
        await opened
        self._accepting = True

    def run(self, function: Callable[[apsw.Connection], _T]) -> asyncio.Future[_T]:
        """What ``function`` returns, once its transaction is committed.

        A caller that is cancelled leaves its work behind; it is done all the same. When a function of its
        group fails, it may be called a second time, after what it wrote was taken back.

        The future raises:
            MemoryUnavailableError: the function or its transaction failed (the cause says how), too
                much waits already, or the thread is closed.
        """
        future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        if not self._accepting:
            future.set_exception(unavailable("The conversation store is closed."))
        elif self._queue.qsize() + len(self._unsent) >= self._max_queued:
            future.set_exception(unavailable("The conversation store is overloaded."))
        else:
            if not self._unsent:  # what comes in one turn of the loop wakes the thread once
                future.get_loop().call_soon(self._send)
            self._unsent.append(_Work(function, future))
        return future

    async def close(self) -> None:
        """Finish what was accepted, then end the thread. Safe to call twice, or before start."""
        if self._thread is None or self._ended is None:
            return
        self._accepting = False
        self._send()
        self._queue.put(None)
        await asyncio.shield(self._ended)
        self._thread.join()

    def _send(self) -> None:
        for work in self._unsent:
            self._queue.put(work)
        self._unsent.clear()

    def _main(self, opened: asyncio.Future[None], ended: asyncio.Future[None]) -> None:
        loop = opened.get_loop()
        try:
            connection = self._open_connection()
        except Exception as error:  # noqa: BLE001 - start() raises it
            _tell(loop, _settle, opened, _Failure(error))
        else:
            _tell(loop, _settle, opened, None)
            self._serve(connection, loop)
            connection.close()
        finally:
            _tell(loop, _settle, ended, None)

    def _serve(self, connection: apsw.Connection, loop: asyncio.AbstractEventLoop) -> None:
        closing = False
        while not closing:
            taken = self._take()
            closing = None in taken
            group = [work for work in taken if work is not None]
            outcomes = self._attempt_group(connection, group)
            _tell(loop, _deliver, group, outcomes)
            if self._begin == "BEGIN IMMEDIATE" and self._others_wrote(connection):
                self._pause(_TURN_SECONDS)

    def _others_wrote(self, connection: apsw.Connection) -> bool:
        """Whether somebody else committed since the last look (SQLite, pragma data_version)."""
        before = self._version
        try:
            self._version = connection.pragma("data_version")
        except Exception:  # noqa: BLE001 - what is wrong with the file fails the next group, which tells of it
            return False
        return before not in {None, self._version}

    def _take(self) -> list[_Work | None]:
        """Wait for work, then take what else is there."""
        taken = [self._queue.get()]
        while len(taken) < _MAX_GROUP and not self._queue.empty():
            taken.append(self._queue.get())
        return taken

    def _attempt_group(self, connection: apsw.Connection, group: Sequence[_Work]) -> Sequence[object]:
        """One outcome for each; the same failure for all when the transaction as such failed."""
        if not group:
            return ()
        try:
            try:
                connection.execute(self._begin)
                outcomes = _attempt_all(connection, group, begin=self._begin)
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except Exception as error:  # noqa: BLE001 - each caller is told, and the thread lives on
            return [_Failure(error)] * len(group)
        return outcomes


def _attempt_all(connection: apsw.Connection, group: Sequence[_Work], *, begin: str) -> Sequence[object]:
    """Run all of it as one; when a part fails, once more, each part as one of its own.

    The first time without a savepoint, for which SQLite would copy each page before it is changed.
    """
    try:
        return [work.function(connection) for work in group]
    except Exception:
        if not connection.in_transaction:  # SQLite itself gave the whole transaction up: disk full, I/O error
            raise
        connection.execute("ROLLBACK")
        connection.execute(begin)
    return [_attempt(connection, work) for work in group]


def _attempt(connection: apsw.Connection, work: _Work) -> object:
    """Run one piece of work; what it wrote is taken back when it fails, the rest of the group stays."""
    connection.execute("SAVEPOINT work")
    try:
        outcome = work.function(connection)
    except Exception as error:
        if not connection.in_transaction:
            raise
        connection.execute("ROLLBACK TO work")
        outcome = _Failure(error)
    connection.execute("RELEASE work")
    return outcome


def _tell(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *args: object) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(callback, *args)


def _deliver(group: Sequence[_Work], outcomes: Sequence[object]) -> None:
    for work, outcome in zip(group, outcomes, strict=True):
        if isinstance(outcome, _Failure):
            _settle(work.future, _Failure(unavailable(cause=outcome.cause)))
        else:
            _settle(work.future, outcome)


def _settle(future: asyncio.Future[Any], outcome: object) -> None:
    if future.done():  # its caller was cancelled
        return
    if isinstance(outcome, _Failure):
        future.set_exception(outcome.cause)
    else:
        future.set_result(cast("Any", outcome))
