"""What SQLite promises beyond the common contract: durability, several processes, honest failures."""

from __future__ import annotations

import asyncio
import resource
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest

from agent_service.core.errors import MemoryUnavailableError
from agent_service.core.messages import ConversationId, Turn
from agent_service.memory.base import StoreOptions
from agent_service.memory.sqlite import SqliteOptions, SqliteStore
from agent_service.memory.sqlite_schema import UnusableDatabaseError
from agent_service.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = ConversationId("user")
COMMITTER = Path(__file__).parent / "assets" / "committer.py"


def _turn(turn_id: str) -> Turn:
    return Turn(turn_id, "question", "answer " * 50, 0.0)


async def _started(path: Path, *, busy_timeout_seconds: float = 5.0) -> SqliteStore:
    options = StoreOptions(ttl_seconds=1e12, max_turns=1_000_000)
    store = SqliteStore(options, SqliteOptions(path, busy_timeout_seconds), clock=FakeClock())
    await store.start()
    return store


async def _ids_by_seq(store: SqliteStore) -> dict[int, str]:
    page = await store.page(HERE, limit=1_000_000)
    return {stored.seq: stored.turn.turn_id for stored in page.turns}


@pytest.mark.parametrize(("busy_timeout_seconds", "max_queued"), [(0.0, 1), (1.0, 0)])
def test_options_out_of_range_are_refused(busy_timeout_seconds: float, max_queued: int) -> None:
    """A wait or a queue below the least is refused where the options are made."""
    with pytest.raises(ValueError, match="must be"):
        SqliteOptions(Path("store.db"), busy_timeout_seconds, max_queued)


async def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    """What one process committed the next one reads, and goes on counting from there."""
    first = await _started(tmp_path / "store.db")
    await first.commit(HERE, _turn("t1"), base_seq=0)
    await first.close()

    second = await _started(tmp_path / "store.db")

    assert (await second.commit(HERE, _turn("t1"), base_seq=0)).seq == 1
    assert (await second.commit(HERE, _turn("t2"), base_seq=1)).seq == 2
    await second.close()


async def test_two_stores_on_one_file_share_one_sequence(tmp_path: Path) -> None:
    """Concurrent writers get seqs without gaps, each turn once, and see each other's turns at once."""
    stores = [await _started(tmp_path / "store.db") for _ in range(2)]

    await asyncio.gather(
        *(
            store.commit(HERE, _turn(f"{n}-{i}"), base_seq=0)
            for n, store in enumerate(stores)
            for i in range(100)
        )
    )

    for store in stores:
        ids = await _ids_by_seq(store)
        assert sorted(ids) == list(range(1, 201))
        assert len(set(ids.values())) == 200
        await store.close()


def _committer(path: Path, name: str, turns: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(COMMITTER), str(path), name, str(turns)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _acknowledged(lines: list[str]) -> dict[int, str]:
    return {int(seq): turn_id for turn_id, seq in (line.split() for line in lines if line.endswith("\n"))}


async def test_two_processes_on_one_file_share_one_sequence(tmp_path: Path) -> None:
    """The same across processes that start together on a file that neither has made yet."""
    path = tmp_path / "store.db"
    acknowledged: dict[int, str] = {}

    with _committer(path, "left", 200) as left, _committer(path, "right", 200) as right:
        for process in (left, right):
            acknowledged |= _acknowledged(process.communicate(timeout=60)[0].splitlines(keepends=True))

    store = await _started(path)
    ids = await _ids_by_seq(store)
    await store.close()
    assert (left.returncode, right.returncode) == (0, 0)
    assert sorted(ids) == list(range(1, 401))
    assert ids == acknowledged


async def test_a_killed_process_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    """Amid commits: every acknowledged turn is there, whole, in its place, and the file is sound."""
    path = tmp_path / "store.db"
    with _committer(path, "victim", 1_000_000) as victim:
        assert victim.stdout is not None
        lines = [victim.stdout.readline() for _ in range(300)]
        victim.send_signal(signal.SIGKILL)
        lines += victim.stdout.readlines()

    store = await _started(path)
    ids = await _ids_by_seq(store)
    await store.close()
    connection = apsw.Connection(str(path))
    verdict = connection.execute("PRAGMA integrity_check").fetchall()
    connection.close()

    assert verdict == [("ok",)]
    assert _acknowledged(lines).items() <= ids.items()
    assert sorted(ids) == list(range(1, len(ids) + 1))


@contextmanager
def _other_writer(path: Path) -> Iterator[None]:
    """Within, another connection holds the file's write lock."""
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


async def test_a_cancelled_commit_is_stored_whole(tmp_path: Path) -> None:
    """A caller that leaves while its commit waits does not take the turn back; the next comes after it."""
    store = await _started(tmp_path / "store.db")

    with _other_writer(tmp_path / "store.db"):
        leaving = asyncio.ensure_future(store.commit(HERE, _turn("t1"), base_seq=0))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait({leaving})
    await store.commit(HERE, _turn("t2"), base_seq=0)

    assert await _ids_by_seq(store) == {1: "t1", 2: "t2"}
    await store.close()


async def test_readers_do_not_wait_for_writers(tmp_path: Path) -> None:
    """While another process writes, reads and pings answer."""
    store = await _started(tmp_path / "store.db")
    await store.commit(HERE, _turn("t1"), base_seq=0)

    with _other_writer(tmp_path / "store.db"):
        await store.ping()
        assert (await store.read(HERE, last_turns=1)).last_seq == 1
    await store.close()


async def test_a_busy_file_is_an_error_in_time(tmp_path: Path) -> None:
    """Past busy_timeout_seconds the commit fails with its cause, and nothing of it appears later."""
    store = await _started(tmp_path / "store.db", busy_timeout_seconds=0.01)

    with _other_writer(tmp_path / "store.db"), pytest.raises(MemoryUnavailableError) as failed:
        await store.commit(HERE, _turn("t1"), base_seq=0)

    assert isinstance(failed.value.__cause__, apsw.BusyError)
    assert await _ids_by_seq(store) == {}
    await store.close()


async def test_a_file_that_cannot_be_used_fails_the_start(tmp_path: Path) -> None:
    """The caller hears no path, the operator finds path and reason in the cause, and no thread is left."""
    store = SqliteStore(StoreOptions(), SqliteOptions(tmp_path), clock=FakeClock())

    with pytest.raises(MemoryUnavailableError) as refused:
        await store.start()

    assert str(tmp_path) not in refused.value.detail
    assert isinstance(refused.value.__cause__, UnusableDatabaseError)
    assert str(tmp_path) in str(refused.value.__cause__)
    await store.close()


async def test_a_cancelled_start_leaves_nothing_running(tmp_path: Path) -> None:
    """Giving up on the start ends what it began."""
    store = SqliteStore(StoreOptions(), SqliteOptions(tmp_path / "store.db"), clock=FakeClock())
    starting = asyncio.ensure_future(store.start())
    await asyncio.sleep(0)

    starting.cancel()
    await asyncio.wait({starting})

    assert starting.cancelled()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sqlite-")]


@contextmanager
def _no_file_may_grow_beyond(size_bytes: int) -> Iterator[None]:
    """Within, the operating system refuses this process's writes past ``size_bytes`` of any file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_disk_that_refuses_to_write_is_survived(tmp_path: Path) -> None:
    """The failed commit is absent, what was there is still read, and commits succeed once there is room."""
    store = await _started(tmp_path / "store.db")
    await store.commit(HERE, _turn("t1"), base_seq=0)
    log = tmp_path / "store.db-wal"

    with _no_file_may_grow_beyond(log.stat().st_size), pytest.raises(MemoryUnavailableError) as failed:
        await store.commit(HERE, _turn("t2"), base_seq=0)

    assert isinstance(failed.value.__cause__, apsw.IOError)
    assert await _ids_by_seq(store) == {1: "t1"}
    assert (await store.commit(HERE, _turn("t2"), base_seq=1)).seq == 2
    await store.close()


async def test_a_turn_that_cannot_be_stored_harms_no_other(tmp_path: Path) -> None:
    """A number that SQLite does not know fails its own commit only."""
    store = await _started(tmp_path / "store.db")
    unstorable = Turn("nan", "q", "a", float("nan"))

    outcomes = await asyncio.gather(
        store.commit(HERE, _turn("t1"), base_seq=0),
        store.commit(HERE, unstorable, base_seq=0),
        store.commit(HERE, _turn("t2"), base_seq=2**70),
        store.commit(HERE, _turn("t3"), base_seq=0),
        return_exceptions=True,
    )

    assert [isinstance(outcome, MemoryUnavailableError) for outcome in outcomes] == [False, True, True, False]
    assert await _ids_by_seq(store) == {1: "t1", 2: "t3"}
    await store.close()


async def test_commits_clear_away_what_expired(tmp_path: Path) -> None:
    """Expired conversations and leases go faster than commits bring new ones: the file follows the live."""
    clock = FakeClock()
    store = SqliteStore(StoreOptions(ttl_seconds=10.0), SqliteOptions(tmp_path / "store.db"), clock=clock)
    await store.start()
    for number in range(40):
        await store.commit(ConversationId(f"old {number}"), _turn("t"), base_seq=0)
        await store.take_turn(ConversationId(f"old {number}"), token="dead", ttl_seconds=10.0)
    clock.advance(10.0)
    for number in range(40):
        await store.commit(ConversationId(f"new {number}"), _turn("t"), base_seq=0)
    await store.close()

    connection = apsw.Connection(str(tmp_path / "store.db"))
    kept = connection.execute("SELECT DISTINCT substr(user_id, 1, 3) FROM conversations").fetchall()
    leases = connection.execute("SELECT count(*) FROM turn_leases").fetchall()
    connection.close()
    assert (kept, leases) == ([("new",)], [(0,)])


async def test_repr_tells_the_state(tmp_path: Path) -> None:
    """Logs show whether the store is open and how much waits."""
    store = await _started(tmp_path / "store.db")
    threads = (f"<SqliteThread sqlite-{name} open, 0 queued>" for name in ("writer", "reader"))
    assert repr(store) == f"<SqliteStore {' '.join(threads)}>"
    await store.close()
