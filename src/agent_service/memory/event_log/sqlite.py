"""Streams in the SQLite file of the conversations, on connections of their own.

Their commits are not synced: with a write-ahead log that costs no consistency, only what a power cut takes,
and no turn ever waits for the disk because of them (SQLite, pragma synchronous=NORMAL).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from agent_service.core.stream_events import StreamEvent
from agent_service.memory.base import unavailable
from agent_service.memory.event_log.base import Stretch
from agent_service.memory.sqlite_cells import from_cell, rows_of, to_cell
from agent_service.memory.sqlite_schema import open_for_reading, open_prepared
from agent_service.memory.sqlite_thread import SqliteThread

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import apsw

    from agent_service.core.clock import Clock
    from agent_service.memory.event_log.base import EventLogOptions, StreamPart

_BUSY_TIMEOUT_SECONDS = 5.0
_MAX_QUEUED = 10_000
_FORGOTTEN_PER_PART = 2
"""Above one, so that streams go faster than new ones come."""

FIND_STREAM = """
    SELECT id, run_id FROM event_streams
    WHERE user_id = ? AND request_id = ? AND expires_at_epoch_seconds > ?"""
FIND_STREAMS = "SELECT id FROM event_streams WHERE user_id = ? AND (? IS NULL OR session_id = ?)"
FIND_EXPIRED = """
    SELECT id FROM event_streams WHERE expires_at_epoch_seconds <= ?
    ORDER BY expires_at_epoch_seconds LIMIT ?"""
FIND_SAME = "SELECT id FROM event_streams WHERE user_id = ? AND request_id = ?"
ADD_STREAM = """
    INSERT INTO event_streams (user_id, session_id, request_id, run_id, expires_at_epoch_seconds)
    VALUES (?, ?, ?, ?, ?) RETURNING id"""
PROLONG_STREAM = "UPDATE event_streams SET expires_at_epoch_seconds = ? WHERE id = ?"
DROP_STREAM = "DELETE FROM event_streams WHERE id = ?"
DROP_EVENTS = "DELETE FROM stream_events WHERE stream_id = ?"
ADD_EVENT = "INSERT OR IGNORE INTO stream_events (stream_id, id, kind, data) VALUES (?, ?, ?, ?)"
FIND_LAST = "SELECT id, kind FROM stream_events WHERE stream_id = ? ORDER BY id DESC LIMIT 1"
READ_EVENTS = """
    SELECT id, kind, data FROM stream_events WHERE stream_id = ? AND id > ? ORDER BY id LIMIT ?"""


class SqliteEventLog:
    """Keeps the contract of ``memory.event_log.base``.

    Args:
        options: a stream's life.
        path: the file of the conversations.
        clock: tells when a stream expires.
    """

    def __init__(self, options: EventLogOptions, path: Path, *, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._writer = SqliteThread(
            name="events-writer",
            open_connection=partial(_open, path),
            begin="BEGIN IMMEDIATE",
            max_queued=_MAX_QUEUED,
        )
        self._reader = SqliteThread(
            name="events-reader",
            open_connection=partial(open_for_reading, path, _BUSY_TIMEOUT_SECONDS),
            begin="BEGIN",
            max_queued=_MAX_QUEUED,
        )

    def __repr__(self) -> str:
        return f"<SqliteEventLog {self._writer!r} {self._reader!r}>"

    async def start(self) -> None:
        """Open the file.

        Raises:
            MemoryUnavailableError: it cannot be opened; the cause says why.
        """
        try:
            await self._writer.start()
            await self._reader.start()
        except BaseException as error:
            await self.close()
            if isinstance(error, Exception):
                raise unavailable("The event log cannot be opened.") from error
            raise

    async def close(self) -> None:
        """See ``EventLog``."""
        await self._writer.close()
        await self._reader.close()

    async def append(self, parts: Sequence[StreamPart]) -> None:
        """See ``EventLog``."""
        now = self._clock.wall()
        expires_at = now + self._options.ttl_seconds
        await self._writer.run(partial(_append, parts=parts, now=now, expires_at=expires_at))

    async def read(self, user_id: str, request_id: str, *, after: int, limit: int) -> Stretch | None:
        """See ``EventLog``."""
        stream = (to_cell(user_id), to_cell(request_id), self._clock.wall())
        return await self._reader.run(partial(_read, stream=stream, after=after, limit=limit))

    async def erase(self, user_id: str, session_id: str | None = None) -> None:
        """See ``EventLog``."""
        await self._writer.run(partial(_erase, user_id=user_id, session_id=session_id))


def _open(path: Path) -> apsw.Connection:
    connection = open_prepared(path, _BUSY_TIMEOUT_SECONDS)
    connection.pragma("synchronous", "NORMAL")
    return connection


def _append(connection: apsw.Connection, parts: Sequence[StreamPart], now: float, expires_at: float) -> None:
    for part in parts:
        for (row_id,) in rows_of(connection, FIND_EXPIRED, (now, _FORGOTTEN_PER_PART)):
            _drop(connection, row_id)
        row_id = _stream_of(connection, part, now, expires_at)
        if row_id is None:
            continue
        [last] = [found[0] for found in rows_of(connection, FIND_LAST, (row_id,))] or [0]
        if part.events[0].id <= last + 1:
            rows = [(row_id, event.id, event.kind, to_cell(event.data)) for event in part.events]
            connection.executemany(ADD_EVENT, rows)
        connection.execute(PROLONG_STREAM, (expires_at, row_id))


def _stream_of(connection: apsw.Connection, part: StreamPart, now: float, expires_at: float) -> int | None:
    """The row of the stream that ``part`` belongs to, a new one if it begins it."""
    user, request, run_id = map(to_cell, (part.conversation.user_id, part.request_id, part.run_id))
    for row_id, found in rows_of(connection, FIND_STREAM, (user, request, now)):
        if found == run_id:
            return int(row_id)
    if part.events[0].id != 1:
        return None
    for (row_id,) in rows_of(connection, FIND_SAME, (user, request)):
        _drop(connection, row_id)
    session = to_cell(part.conversation.session_id)
    [(row_id,)] = rows_of(connection, ADD_STREAM, (user, session, request, run_id, expires_at))
    return int(row_id)


def _read(
    connection: apsw.Connection, stream: tuple[str | bytes, str | bytes, float], after: int, limit: int
) -> Stretch | None:
    for row_id, _ in rows_of(connection, FIND_STREAM, stream):
        rows = rows_of(connection, READ_EVENTS, (row_id, after, limit))
        events = tuple(StreamEvent(number, kind, from_cell(data)) for number, kind, data in rows)
        [(number, kind)] = rows_of(connection, FIND_LAST, (row_id,))
        return Stretch(events, StreamEvent(number, kind, "").is_last)
    return None


def _erase(connection: apsw.Connection, user_id: str, session_id: str | None) -> None:
    session = None if session_id is None else to_cell(session_id)
    for (row_id,) in rows_of(connection, FIND_STREAMS, (to_cell(user_id), session, session)):
        _drop(connection, row_id)


def _drop(connection: apsw.Connection, row_id: int) -> None:
    connection.execute(DROP_EVENTS, (row_id,))
    connection.execute(DROP_STREAM, (row_id,))
