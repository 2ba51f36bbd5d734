"""The SQLite file: made, recognised, refused."""

from __future__ import annotations

import os
import stat
import threading
from typing import TYPE_CHECKING

import apsw
import pytest

from agent_service.memory.sqlite_schema import (
    SCHEMA_VERSION,
    UnusableDatabaseError,
    open_for_reading,
    open_prepared,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _make(path: Path) -> None:
    connection = open_prepared(path, 1.0)
    connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)"
        " INSERT INTO turns SELECT i, i, 0, 't', 0.0, '', '', hex(zeroblob(500)), '' FROM n"
    )
    connection.close()


def test_a_missing_file_is_made_with_its_folder(tmp_path: Path) -> None:
    """The file is made ready in one go: write-ahead log, full sync, our mark, the current schema."""
    connection = open_prepared(tmp_path / "new" / "folder" / "store.db", 1.0)

    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("synchronous") == 2
    assert connection.pragma("user_version") == SCHEMA_VERSION
    connection.close()


@pytest.mark.parametrize("umask", [0, 0o777])
def test_only_the_owner_can_read_a_new_file(tmp_path: Path, umask: int) -> None:
    """Conversations are private, whatever the umask says; the log beside the file too."""
    path = tmp_path / "store.db"
    before = os.umask(umask)
    try:
        connection = open_prepared(path, 1.0)
    finally:
        os.umask(before)

    modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    connection.close()

    assert modes == {0o600}


def test_the_reader_cannot_write(tmp_path: Path) -> None:
    """One thread writes; the other's connection refuses to."""
    _make(tmp_path / "store.db")
    reader = open_for_reading(tmp_path / "store.db", 1.0)

    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("DELETE FROM turns")
    reader.close()


def test_a_file_is_opened_again_as_it_was(tmp_path: Path) -> None:
    """Opening a current file loses nothing."""
    path = tmp_path / "store.db"
    _make(path)

    connection = open_prepared(path, 1.0)

    assert connection.execute("SELECT count(*) FROM turns").fetchall() == [(200,)]
    connection.close()


def test_a_file_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    """Its turns stay; what it lacked is added."""
    path = tmp_path / "store.db"
    _make(path)
    old = apsw.Connection(str(path))
    old.execute("DROP TABLE turn_leases; DROP TABLE idempotency_records")
    old.execute("DROP TABLE event_streams; DROP TABLE stream_events")
    old.pragma("user_version", 1)
    old.close()

    connection = open_prepared(path, 1.0)

    assert connection.pragma("user_version") == SCHEMA_VERSION
    assert connection.execute("SELECT count(*) FROM turns").fetchall() == [(200,)]
    assert connection.execute("SELECT * FROM turn_leases, idempotency_records").fetchall() == []
    assert connection.execute("SELECT * FROM event_streams, stream_events").fetchall() == []
    connection.close()


def test_a_name_that_means_something_to_sqlite_is_only_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``:memory:`` is a file like any other: nothing durable is quietly made volatile."""
    monkeypatch.chdir(tmp_path)

    open_prepared(type(tmp_path)(":memory:"), 1.0).close()

    assert (tmp_path / ":memory:").stat().st_size > 0


def _write_garbage(path: Path) -> None:
    path.write_bytes(os.urandom(10_000))


def _damage_middle(path: Path) -> None:
    _make(path)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(os.urandom(20_000))


def _truncate(path: Path) -> None:
    _make(path)
    os.truncate(path, path.stat().st_size // 2)


def _damage_header(path: Path) -> None:
    _make(path)
    with path.open("r+b") as file:
        file.write(bytes(100))


def _make_newer(path: Path) -> None:
    _make(path)
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", SCHEMA_VERSION + 1)
    connection.close()


def _make_foreign(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_write_garbage, "not a database"),
        (_damage_header, "not a database"),
        (_truncate, "malformed"),
        (_damage_middle, "damaged"),
        (_make_newer, "newer version"),
        (_make_foreign, "another application"),
    ],
)
def test_a_file_that_is_not_ours_or_not_whole_is_refused_and_left_alone(
    tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    """The refusal names path and reason; the bytes stay, so that somebody can mend or read them."""
    path = tmp_path / "store.db"
    spoil(path)
    before = path.read_bytes()

    with pytest.raises(UnusableDatabaseError, match=reason) as refused:
        open_prepared(path, 1.0)

    assert str(path) in str(refused.value)
    assert path.read_bytes() == before


def _as_folder(path: Path) -> Path:
    path.mkdir()
    return path


def _under_a_file(path: Path) -> Path:
    path.write_text("not a folder")
    return path / "store.db"


def _dangling_link(path: Path) -> Path:
    path.symlink_to(path.parent / "nowhere" / "store.db")
    return path


@pytest.mark.parametrize("place", [_as_folder, _under_a_file, _dangling_link])
def test_a_path_that_cannot_be_a_file_is_refused(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    """A folder, a path through a file, a link to nowhere: an error that says so, and nothing is made."""
    path = place(tmp_path / "place")
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(UnusableDatabaseError, match="place"):
        open_prepared(path, 1.0)

    assert sorted(tmp_path.rglob("*")) == before


def test_many_may_make_the_same_file_at_once(tmp_path: Path) -> None:
    """Workers start together on a fresh disk; all of them get the one file, none an error."""
    failures: list[Exception] = []

    def open_and_close(path: Path, together: threading.Barrier) -> None:
        together.wait()
        try:
            open_prepared(path, 5.0).close()
        except UnusableDatabaseError as error:
            failures.append(error)

    for number in range(10):
        together = threading.Barrier(6)
        arguments = (tmp_path / f"{number}.db", together)
        threads = [threading.Thread(target=open_and_close, args=arguments) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert failures == []


def test_waiting_for_another_writer_has_an_end(tmp_path: Path) -> None:
    """Past busy_timeout_seconds a held write lock is an error, at start and later."""
    path = tmp_path / "store.db"
    _make(path)
    patient = open_prepared(path, 0.01)
    holder = apsw.Connection(str(path))
    holder.execute("BEGIN IMMEDIATE")

    with pytest.raises(apsw.BusyError):
        patient.execute("BEGIN IMMEDIATE")
    with pytest.raises(UnusableDatabaseError, match="locked"):
        open_prepared(path, 0.01)

    holder.close()
    patient.close()
