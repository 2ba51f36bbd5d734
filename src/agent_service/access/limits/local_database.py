"""Where the counters of one machine are.

The file holds nothing but counts under hashed names. Its commits are not synced: all processes see them at
once, and only a power cut takes the last of them; a file that it leaves damaged is begun anew.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, TypeVar

import apsw

from agent_service.access.limits.base import PATIENCE_SECONDS, CountersUnavailableError
from agent_service.core.clock import wait_at_most
from agent_service.core.errors import MemoryUnavailableError
from agent_service.memory.sqlite_thread import SqliteThread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent_service.core.clock import Clock

T = TypeVar("T")

_log = logging.getLogger(__name__)

_BUSY_MILLISECONDS = 1000
_BUSY_PAUSE_SECONDS = 0.02
_OPENING_ATTEMPTS = 50
_MAX_QUEUED = 10_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS counts (
    name TEXT NOT NULL,
    tick INTEGER NOT NULL,
    counted INTEGER NOT NULL,
    expires_at_epoch_seconds REAL NOT NULL,
    PRIMARY KEY (name, tick)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS counts_by_expiry ON counts (expires_at_epoch_seconds);
"""


class Database(Protocol):
    """Runs functions on a connection, each as one atomic step."""

    async def start(self) -> None:
        """Open it."""

    async def run(self, function: Callable[[apsw.Connection], T]) -> T:
        """What ``function`` returns.

        Raises:
            CountersUnavailableError: it did not run, or not in time.
        """

    async def close(self) -> None:
        """End."""


class MemoryDatabase:
    """A database of this process, which goes with it. It never waits, so nothing comes between two steps."""

    def __init__(self) -> None:
        self._connection: apsw.Connection | None = None

    async def start(self) -> None:
        """See ``Database``."""
        self._connection = apsw.Connection(":memory:")
        self._connection.execute(SCHEMA)

    async def run(self, function: Callable[[apsw.Connection], T]) -> T:
        """See ``Database``."""
        if self._connection is None:
            raise CountersUnavailableError
        return function(self._connection)

    async def close(self) -> None:
        """See ``Database``."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class FileDatabase:
    """A file that the processes of one machine share, on a thread of its own.

    Args:
        path: the file; it is made, and its folder, where there is none.
        clock: bounds the waits.
    """

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._thread = SqliteThread(
            name="limits", open_connection=self._open, begin="BEGIN IMMEDIATE", max_queued=_MAX_QUEUED
        )

    async def start(self) -> None:
        """See ``Database``."""
        try:
            await self._thread.start()
        except (apsw.Error, OSError) as error:
            raise CountersUnavailableError from error

    async def run(self, function: Callable[[apsw.Connection], T]) -> T:
        """See ``Database``."""
        outcome = self._thread.run(function)
        if not await wait_at_most(self._clock, PATIENCE_SECONDS, outcome):
            outcome.cancel()
            raise CountersUnavailableError("too slow")
        try:
            return outcome.result()
        except MemoryUnavailableError as error:
            raise CountersUnavailableError from error.__cause__

    async def close(self) -> None:
        """See ``Database``."""
        await self._thread.close()

    def _open(self) -> apsw.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=0o600)
        try:
            return _opened(self._path)
        except (apsw.CorruptError, apsw.NotADBError):
            _log.warning("the file of the limits is damaged and begun anew")
            for ending in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + ending).unlink(missing_ok=True)
            return _opened(self._path)


def _opened(path: Path) -> apsw.Connection:
    """Processes that start together collide where SQLite never waits by itself."""
    connection = apsw.Connection(str(path.absolute()))
    connection.set_busy_timeout(_BUSY_MILLISECONDS)
    for _ in range(_OPENING_ATTEMPTS):
        with suppress(apsw.BusyError):
            return _prepared(connection)
        time.sleep(_BUSY_PAUSE_SECONDS)
    return _prepared(connection)


def _prepared(connection: apsw.Connection) -> apsw.Connection:
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "OFF")
    connection.execute(SCHEMA)
    return connection
