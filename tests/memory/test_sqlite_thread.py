"""One thread, one connection, work in groups."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import apsw
import pytest

from agent_service.core.errors import MemoryUnavailableError
from agent_service.memory.sqlite_schema import BUSY_STEP_SECONDS
from agent_service.memory.sqlite_thread import SqliteThread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


class _Database:
    """A file with two tables, whose statements are written down."""

    def __init__(self, path: Path) -> None:
        self.statements: list[str] = []
        self._path = path

    def open(self) -> apsw.Connection:
        connection = apsw.Connection(str(self._path))
        connection.pragma("journal_mode", "wal")
        connection.pragma("foreign_keys", True)
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value UNIQUE NOT NULL)")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS owed (value REFERENCES kept (value) DEFERRABLE INITIALLY DEFERRED)"
        )
        connection.exec_trace = self._note
        return connection

    def _note(self, _cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
        self.statements.append(sql)
        return True

    def values(self) -> list[object]:
        connection = apsw.Connection(str(self._path))
        rows = connection.execute("SELECT value FROM kept").fetchall()
        connection.close()
        return [value for (value,) in rows]


@pytest.fixture
def database(tmp_path: Path) -> _Database:
    """A file that does not exist yet."""
    return _Database(tmp_path / "some.db")


def _thread(database: _Database, max_queued: int = 1000) -> SqliteThread:
    return SqliteThread(
        name="writer", open_connection=database.open, begin="BEGIN IMMEDIATE", max_queued=max_queued
    )


def _keep(value: str | int | None) -> Callable[[apsw.Connection], object]:
    def insert(connection: apsw.Connection) -> object:
        connection.execute("INSERT INTO kept VALUES (?)", (value,))
        return value

    return insert


async def _submit(thread: SqliteThread, work: Callable[[apsw.Connection], object]) -> asyncio.Task[object]:
    """Queue ``work`` and come back before it is done."""
    task: asyncio.Task[object] = asyncio.ensure_future(thread.run(work))
    await asyncio.sleep(0)
    return task


@asynccontextmanager
async def _held(thread: SqliteThread) -> AsyncIterator[None]:
    """Within, the thread is busy with a transaction, so that what is queued becomes one group."""
    busy, let_go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hold(_connection: apsw.Connection) -> None:
        loop.call_soon_threadsafe(busy.set)
        let_go.wait()

    task = await _submit(thread, hold)
    await busy.wait()
    try:
        yield
    finally:
        let_go.set()
        await task


async def test_work_runs_on_its_thread_while_the_loop_goes_on(database: _Database) -> None:
    """A slow disk stops the thread, never the event loop."""
    thread = _thread(database)
    await thread.start()

    async with _held(thread):
        await asyncio.sleep(0)
    on_thread = await thread.run(lambda _connection: threading.current_thread().name)

    assert on_thread == "writer"
    await thread.close()


async def test_what_waits_together_is_committed_together(database: _Database) -> None:
    """Group commit: fifty commits cost one transaction, thus one sync."""
    thread = _thread(database)
    await thread.start()

    async with _held(thread):
        tasks = [await _submit(thread, _keep(number)) for number in range(50)]
    results = await asyncio.gather(*tasks)

    assert results == list(range(50))
    assert database.statements.count("COMMIT") == 2
    await thread.close()
    assert database.values() == list(range(50))


async def test_what_comes_in_one_turn_of_the_loop_is_one_transaction(database: _Database) -> None:
    """Also when the thread has nothing else to do: it is woken once for all of it."""
    thread = _thread(database)
    await thread.start()

    assert await asyncio.gather(*(thread.run(_keep(number)) for number in range(50))) == list(range(50))

    assert database.statements.count("COMMIT") == 1
    await thread.close()


async def test_a_group_has_a_limit(database: _Database) -> None:
    """A long queue is served in several transactions, so that its first callers hear early."""
    thread = _thread(database)
    await thread.start()

    async with _held(thread):
        tasks = [await _submit(thread, _keep(number)) for number in range(300)]
    await asyncio.gather(*tasks)

    assert database.statements.count("COMMIT") == 3
    await thread.close()


async def test_one_that_fails_does_not_harm_its_group(database: _Database) -> None:
    """What it wrote is taken back, its caller gets the cause, all others are stored."""
    thread = _thread(database)
    await thread.start()

    def write_then_fail(connection: apsw.Connection) -> None:
        _keep("half")(connection)
        raise OverflowError("no such number")

    async with _held(thread):
        tasks = [await _submit(thread, work) for work in (_keep(1), write_then_fail, _keep(None), _keep(2))]
    first, failed, refused, last = await asyncio.gather(*tasks, return_exceptions=True)

    assert (first, last) == (1, 2)
    assert isinstance(failed, MemoryUnavailableError)
    assert isinstance(failed.__cause__, OverflowError)
    assert isinstance(refused, MemoryUnavailableError)
    assert isinstance(refused.__cause__, apsw.ConstraintError)
    await thread.close()
    assert database.values() == [1, 2]


async def test_a_full_disk_fails_the_group_and_is_survived(database: _Database) -> None:
    """SQLite gives the whole transaction up: each caller is told, nothing is stored, later work succeeds."""
    thread = _thread(database)
    await thread.start()
    pages = await thread.run(lambda connection: connection.pragma("page_count"))
    await thread.run(lambda connection: connection.pragma("max_page_count", pages))

    async with _held(thread):
        tasks = [await _submit(thread, work) for work in (_keep(1), _keep("x" * 100_000), _keep(2))]
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    await thread.run(lambda connection: connection.pragma("max_page_count", 1_000_000))
    await thread.run(_keep(3))

    assert [type(outcome) for outcome in outcomes] == [MemoryUnavailableError] * 3
    assert {type(outcome.__cause__) for outcome in outcomes if isinstance(outcome, Exception)} == {
        apsw.FullError
    }
    await thread.close()
    assert database.values() == [3]


async def test_a_transaction_that_cannot_begin_fails_its_group_only(
    database: _Database, tmp_path: Path
) -> None:
    """While another process holds the file the callers are told; afterwards work goes on."""
    thread = _thread(database)
    await thread.start()
    other = apsw.Connection(str(tmp_path / "some.db"))
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(MemoryUnavailableError) as refused:
        await thread.run(_keep(1))
    other.close()
    await thread.run(_keep(2))

    assert isinstance(refused.value.__cause__, apsw.BusyError)
    await thread.close()
    assert database.values() == [2]


async def test_a_commit_that_fails_leaves_no_transaction_open(database: _Database) -> None:
    """Failing at the very end is failing for the whole group: nothing is stored, and work goes on."""
    thread = _thread(database)
    await thread.start()

    def owe(connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO owed VALUES ('never kept')")

    async with _held(thread):
        tasks = [await _submit(thread, work) for work in (_keep(1), owe)]
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [MemoryUnavailableError] * 2
    assert await thread.run(_keep(2)) == 2
    await thread.close()
    assert database.values() == [2]


async def test_a_cancelled_caller_leaves_its_work_behind(database: _Database) -> None:
    """Cancelling the wait does not take the work back, nor does it disturb its group."""
    thread = _thread(database)
    await thread.start()

    async with _held(thread):
        cancelled, other = [await _submit(thread, _keep(value)) for value in ("left", "stayed")]
        cancelled.cancel()
    assert await other == "stayed"

    assert cancelled.cancelled()
    await thread.close()
    assert database.values() == ["left", "stayed"]


async def test_the_queue_is_bounded(database: _Database) -> None:
    """Work beyond max_queued is refused at once instead of waiting for ever."""
    thread = _thread(database, max_queued=2)
    await thread.start()

    async with _held(thread):
        accepted = [await _submit(thread, _keep(value)) for value in (1, 2)]
        with pytest.raises(MemoryUnavailableError, match="overloaded"):
            await thread.run(_keep(3))
    await asyncio.gather(*accepted)

    await thread.close()
    assert database.values() == [1, 2]


async def test_close_finishes_what_was_accepted(database: _Database) -> None:
    """Closing drains: the accepted is stored and answered, the late is refused, the thread is gone."""
    thread = _thread(database)
    await thread.start()

    async with _held(thread):
        accepted = await _submit(thread, _keep("accepted"))
        closing = asyncio.ensure_future(thread.close())
        await asyncio.sleep(0)
        assert repr(thread) == "<SqliteThread writer closed, 2 queued>"
        with pytest.raises(MemoryUnavailableError, match="closed"):
            await thread.run(_keep("late"))
    await closing
    await thread.close()

    assert await accepted == "accepted"
    assert database.values() == ["accepted"]


async def test_where_others_write_too_each_gets_a_turn(database: _Database) -> None:
    """A gap after a group since whose predecessor somebody else has committed; alone there is none."""
    pauses: list[float] = []
    thread = SqliteThread(
        name="writer",
        open_connection=database.open,
        begin="BEGIN IMMEDIATE",
        max_queued=9,
        pause=pauses.append,
    )
    await thread.start()
    other = database.open()
    seen: list[int] = []
    for writes_too in (False, False, True, False):
        if writes_too:
            other.execute("INSERT INTO kept VALUES ('theirs')")
        await thread.run(_keep(len(seen)))
        await thread.run(lambda connection: connection.pragma("user_version"))
        seen.append(len(pauses))
    other.close()
    await thread.close()

    assert seen == [0, 0, 1, 1]
    assert pauses == [2 * BUSY_STEP_SECONDS]


async def test_who_only_reads_leaves_no_gaps(database: _Database) -> None:
    """A reader keeps nobody from writing."""
    pauses: list[float] = []
    thread = SqliteThread(
        name="reader", open_connection=database.open, begin="BEGIN", max_queued=9, pause=pauses.append
    )
    await thread.start()
    other = database.open()
    for number in range(3):
        other.execute("INSERT INTO kept VALUES (?)", (number,))
        await thread.run(lambda connection: connection.pragma("user_version"))
    other.close()
    await thread.close()

    assert pauses == []


async def test_a_connection_that_cannot_be_opened_fails_the_start(tmp_path: Path) -> None:
    """start() raises what opening raised; nothing is left running and close is harmless."""
    thread = _thread(_Database(tmp_path))

    with pytest.raises(apsw.CantOpenError):
        await thread.start()

    await thread.close()


def test_a_loop_that_ends_first_does_not_break_the_thread(database: _Database) -> None:
    """Work whose result nobody can receive any more is still done, and the thread still ends."""
    let_go = threading.Event()

    def outlast(connection: apsw.Connection) -> None:
        let_go.wait()
        _keep("stored")(connection)

    async def abandon() -> threading.Thread:
        thread = _thread(database)
        await thread.start()
        [running] = [each for each in threading.enumerate() if each.name == "writer"]
        await _submit(thread, outlast)
        asyncio.ensure_future(thread.close())  # noqa: RUF006 - it is abandoned with the loop
        await asyncio.sleep(0)
        return running

    running = asyncio.run(abandon())
    let_go.set()
    running.join(10)

    assert database.values() == ["stored"]
