"""The SQLite file: made, recognised, brought to the current schema, and opened."""

from __future__ import annotations

import itertools
import os
import random
import time
from functools import partial
from typing import TYPE_CHECKING

import apsw

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

APPLICATION_ID = 0x41475356
"""``AGSV``: tells our files from those of others (SQLite, pragma application_id)."""

_CHECKED_UP_TO_BYTES = 256 * 2**20
"""A larger file is not read through at start; damage in it is reported when it is met."""

BUSY_STEP_SECONDS = 0.001
"""Between two looks whether another writer is done, on average; its gap is twice as long."""

# ANY keeps a value's own type: text, or bytes for the few texts that UTF-8 cannot hold.
_MIGRATIONS = (
    """
    CREATE TABLE conversations (
        id INTEGER PRIMARY KEY,
        user_id ANY NOT NULL,
        session_id ANY NOT NULL,
        first_seq INTEGER NOT NULL,
        last_seq INTEGER NOT NULL,
        expires_at_epoch_seconds REAL NOT NULL,
        UNIQUE (user_id, session_id)
    ) STRICT;
    CREATE INDEX conversations_by_expiry ON conversations (expires_at_epoch_seconds);
    CREATE TABLE turns (
        conversation_id INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        base_seq INTEGER NOT NULL,
        turn_id ANY NOT NULL,
        at_epoch_seconds REAL NOT NULL,
        model ANY NOT NULL,
        program ANY NOT NULL,
        question ANY,
        answer ANY,
        UNIQUE (conversation_id, seq),
        UNIQUE (conversation_id, turn_id)
    ) STRICT;
    """,
    """
    CREATE TABLE turn_leases (
        user_id ANY NOT NULL,
        session_id ANY NOT NULL,
        token ANY NOT NULL,
        expires_at_epoch_seconds REAL NOT NULL,
        UNIQUE (user_id, session_id)
    ) STRICT;
    CREATE INDEX turn_leases_by_expiry ON turn_leases (expires_at_epoch_seconds);
    CREATE TABLE idempotency_records (
        principal ANY NOT NULL,
        key ANY NOT NULL,
        fingerprint ANY NOT NULL,
        turn_id ANY NOT NULL,
        claimant ANY NOT NULL,
        runs_until_epoch_seconds REAL NOT NULL,
        expires_at_epoch_seconds REAL NOT NULL,
        done INTEGER NOT NULL DEFAULT 0,
        response BLOB,
        UNIQUE (principal, key)
    ) STRICT;
    CREATE INDEX idempotency_records_by_expiry ON idempotency_records (expires_at_epoch_seconds);
    """,
    """
    CREATE TABLE event_streams (
        id INTEGER PRIMARY KEY,
        user_id ANY NOT NULL,
        session_id ANY NOT NULL,
        request_id ANY NOT NULL,
        run_id ANY NOT NULL,
        expires_at_epoch_seconds REAL NOT NULL,
        UNIQUE (user_id, request_id)
    ) STRICT;
    CREATE INDEX event_streams_by_expiry ON event_streams (expires_at_epoch_seconds);
    CREATE TABLE stream_events (
        stream_id INTEGER NOT NULL,
        id INTEGER NOT NULL,
        kind TEXT NOT NULL,
        data ANY NOT NULL,
        PRIMARY KEY (stream_id, id)
    ) STRICT, WITHOUT ROWID;
    """,
)

SCHEMA_VERSION = len(_MIGRATIONS)
"""Kept in the file as pragma user_version; the migration at index n leads from version n to n + 1."""


class UnusableDatabaseError(Exception):
    """The file cannot serve as a store. The message names the path and the reason: for operators only."""


def open_prepared(path: Path, busy_timeout_seconds: float) -> apsw.Connection:
    """Make the file if it is missing, readable by its owner only; check it, migrate it, open it for writing.

    Raises:
        UnusableDatabaseError: the file cannot be made, is damaged, is not ours or is of a newer version.
    """
    try:
        _create_if_missing(path)
        connection = _open(path)
        try:
            _prepare(connection, path, _patience(busy_timeout_seconds))
            connection.set_busy_handler(_patience(busy_timeout_seconds))
            connection.pragma("synchronous", "FULL")
        except BaseException:
            connection.close()
            raise
    except (apsw.Error, OSError) as error:
        raise UnusableDatabaseError(f"{path} cannot be used as a conversation store: {error}") from error
    return connection


def open_for_reading(path: Path, busy_timeout_seconds: float) -> apsw.Connection:
    """A second connection to a file that is prepared; it can change nothing."""
    connection = _open(path)
    connection.set_busy_handler(_patience(busy_timeout_seconds))
    connection.pragma("query_only", True)
    return connection


def _create_if_missing(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    except FileExistsError:
        return
    try:
        os.fchmod(descriptor, 0o600)  # whatever the umask took away
    finally:
        os.close(descriptor)


def _open(path: Path) -> apsw.Connection:
    return apsw.Connection(str(path.absolute()), flags=apsw.SQLITE_OPEN_READWRITE)


def _patience(busy_timeout_seconds: float) -> Callable[[int], bool]:
    """Wait for another writer in short, even steps.

    SQLite's own handler backs off to 100 ms, so that under load a process that has waited long meets
    its chance ever more rarely: four busy processes made each other wait for over a second.
    """

    def wait(attempts: int) -> bool:
        time.sleep(BUSY_STEP_SECONDS * random.uniform(0.5, 1.5))
        return attempts * BUSY_STEP_SECONDS < busy_timeout_seconds

    return wait


def _prepare(connection: apsw.Connection, path: Path, wait: Callable[[int], bool]) -> None:
    """Everything is recognised before anything is written, so that a stranger's file stays as it is."""
    for step in (_refuse_unknown, _refuse_damaged, _switch_to_log, _migrate):
        _retry_while_busy(partial(step, connection, path), wait)


def _retry_while_busy(step: Callable[[], None], wait: Callable[[int], bool]) -> None:
    """Processes that start together collide where SQLite never asks a busy handler."""
    for attempts in itertools.count():
        try:
            step()
        except apsw.BusyError:
            if not wait(attempts):
                raise
        else:
            return


def _switch_to_log(connection: apsw.Connection, path: Path) -> None:
    if connection.pragma("journal_mode", "wal") != "wal":
        raise UnusableDatabaseError(f"{path} is on a file system that cannot hold a write-ahead log")


def _migrate(connection: apsw.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        _refuse_unknown(connection, path)
        for migration in _MIGRATIONS[_integer(connection, "user_version") :]:
            connection.execute(migration)
        connection.pragma("application_id", APPLICATION_ID)
        connection.pragma("user_version", SCHEMA_VERSION)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _refuse_unknown(connection: apsw.Connection, path: Path) -> None:
    version = _integer(connection, "user_version")
    if version > SCHEMA_VERSION:
        raise UnusableDatabaseError(
            f"{path} was written by a newer version of the service:"
            f" its schema is {version}, this version knows up to {SCHEMA_VERSION}"
        )
    is_empty = not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
    if not (is_empty and version == 0) and _integer(connection, "application_id") != APPLICATION_ID:
        raise UnusableDatabaseError(f"{path} is the database of another application")


def _refuse_damaged(connection: apsw.Connection, path: Path) -> None:
    if path.stat().st_size > _CHECKED_UP_TO_BYTES:
        return
    verdict = connection.execute("PRAGMA quick_check(1)").fetchall()
    if verdict != [("ok",)]:
        raise UnusableDatabaseError(f"{path} is damaged: {verdict}")


def _integer(connection: apsw.Connection, pragma: str) -> int:
    return int(str(connection.pragma(pragma)))
