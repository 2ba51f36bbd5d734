"""Conversations in one SQLite file: durable, shared by the processes of one host.

Write-ahead log and a sync on each commit (SQLite, pragma synchronous=FULL), one thread that writes and one
that reads. The driver brings its own SQLite, because versions before 3.51.3 can lose commits when several
connections reset the log (SQLite, "The WAL-reset bug").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from agent_service.memory.base import unavailable
from agent_service.memory.sqlite_claims import (
    abandon,
    claim,
    erase_claims,
    finish,
    forget_leases,
    give_turn,
    keep_turn,
    take_turn,
)
from agent_service.memory.sqlite_recent import RecentTurns
from agent_service.memory.sqlite_schema import open_for_reading, open_prepared
from agent_service.memory.sqlite_statements import (
    append_turn,
    erase_conversations,
    forget_conversations,
    list_sessions,
    read_page,
    read_window,
)
from agent_service.memory.sqlite_thread import SqliteThread

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path

    import apsw

    from agent_service.core.clock import Clock
    from agent_service.core.messages import ConversationId, StoredTurn, Turn
    from agent_service.memory.base import (
        Claim,
        IdempotencyKey,
        Page,
        SessionInfo,
        StoreOptions,
        Window,
    )

_T = TypeVar("_T")

_COMMITS_BETWEEN_FORGETTING = 16
_FORGOTTEN_PER_COMMIT = 2
"""Above one, so that what expired goes faster than commits can bring new conversations."""


@dataclass(frozen=True, slots=True)
class SqliteOptions:
    """Where the file is and how long to wait for it.

    Attributes:
        path: the file; it and its folder are made when missing. Not on a network file system.
        busy_timeout_seconds: how long a transaction waits for another process that writes.
        max_queued: calls that may wait for the thread that serves them; more are refused.
    """

    path: Path
    busy_timeout_seconds: float = 5.0
    max_queued: int = 10_000

    def __post_init__(self) -> None:
        if self.busy_timeout_seconds <= 0:
            raise ValueError("busy_timeout_seconds must be positive")
        if self.max_queued < 1:
            raise ValueError("max_queued must be at least 1")


class SqliteStore:
    """Keeps the contract of ``memory.base``.

    Args:
        options: life and length of a conversation.
        sqlite_options: the file.
        clock: tells when a conversation expires.
    """

    backend = "sqlite"

    def __init__(self, options: StoreOptions, sqlite_options: SqliteOptions, *, clock: Clock) -> None:
        path, busy_timeout_seconds = sqlite_options.path, sqlite_options.busy_timeout_seconds
        self._options = options
        self._clock = clock
        self._commits = 0
        self._recent = RecentTurns()  # of the writer's thread
        self._writer = SqliteThread(
            name="sqlite-writer",
            open_connection=partial(open_prepared, path, busy_timeout_seconds),
            begin="BEGIN IMMEDIATE",
            max_queued=sqlite_options.max_queued,
        )
        self._reader = SqliteThread(
            name="sqlite-reader",
            open_connection=partial(open_for_reading, path, busy_timeout_seconds),
            begin="BEGIN",
            max_queued=sqlite_options.max_queued,
        )

    def __repr__(self) -> str:
        return f"<SqliteStore {self._writer!r} {self._reader!r}>"

    async def start(self) -> None:
        """Open the file. The cause of a failure names the path and the reason, for operators.

        Raises:
            MemoryUnavailableError: the file cannot be made, is damaged, is not ours or is of a newer version.
        """
        try:
            await self._writer.start()
            await self._reader.start()
        except BaseException as error:
            await self.close()
            if isinstance(error, Exception):
                raise unavailable("The conversation store cannot be opened.") from error
            raise

    async def close(self) -> None:
        """See ``ConversationStore``."""
        await self._writer.close()
        await self._reader.close()

    def ping(self) -> asyncio.Future[None]:
        """Read the file's header."""
        return self._reader.run(_read_header)

    def read(self, conversation: ConversationId, *, last_turns: int) -> asyncio.Future[Window]:
        """See ``ConversationStore``."""
        return self._reader.run(self._with_options(read_window, conversation, last_turns))

    def commit(
        self, conversation: ConversationId, turn: Turn, *, base_seq: int, token: str | None = None
    ) -> asyncio.Future[StoredTurn]:
        """See ``ConversationStore``."""
        self._commits += 1
        forgets = self._commits % _COMMITS_BETWEEN_FORGETTING == 0
        more = {"token": token, "forgets": forgets, "recent": self._recent}
        return self._writer.run(self._with_options(_commit, conversation, turn, base_seq, **more))

    def page(
        self, conversation: ConversationId, *, limit: int, before_seq: int | None = None
    ) -> asyncio.Future[Page]:
        """See ``ConversationStore``."""
        return self._reader.run(self._with_options(read_page, conversation, limit, before_seq))

    def erase(self, user_id: str, session_id: str | None = None) -> asyncio.Future[int]:
        """See ``ConversationStore``."""
        return self._writer.run(self._with_options(_erase, user_id, session_id, recent=self._recent))

    def sessions(
        self, user_id: str, *, limit: int = 100, after: str | None = None
    ) -> asyncio.Future[tuple[SessionInfo, ...]]:
        """See ``ConversationStore``."""
        return self._reader.run(self._with_options(list_sessions, user_id, limit, after))

    def take_turn(
        self, conversation: ConversationId, *, token: str, ttl_seconds: float, last_turns: int = 0
    ) -> asyncio.Future[Window | None]:
        """See ``ConversationStore``."""
        arguments = conversation, token, ttl_seconds, last_turns
        return self._writer.run(self._with_options(_take_turn, *arguments, recent=self._recent))

    def keep_turn(
        self, conversation: ConversationId, *, token: str, ttl_seconds: float
    ) -> asyncio.Future[bool]:
        """See ``ConversationStore``."""
        return self._writer.run(self._at_once(keep_turn, conversation, token, ttl_seconds))

    def give_turn(self, conversation: ConversationId, *, token: str) -> asyncio.Future[None]:
        """See ``ConversationStore``."""
        return self._writer.run(partial(give_turn, conversation=conversation, token=token))

    def claim(
        self,
        key: IdempotencyKey,
        *,
        fingerprint: str,
        turn_id: str,
        ttl_seconds: float,
        running_ttl_seconds: float,
    ) -> asyncio.Future[Claim]:
        """See ``ConversationStore``."""
        return self._writer.run(
            self._at_once(
                claim,
                key,
                fingerprint,
                turn_id=turn_id,
                ttl_seconds=ttl_seconds,
                running_ttl_seconds=running_ttl_seconds,
            )
        )

    def finish(
        self, key: IdempotencyKey, *, turn_id: str, response: bytes, ttl_seconds: float
    ) -> asyncio.Future[bool]:
        """See ``ConversationStore``."""
        return self._writer.run(self._at_once(finish, key, turn_id, response, ttl_seconds))

    def abandon(self, key: IdempotencyKey, *, turn_id: str) -> asyncio.Future[None]:
        """See ``ConversationStore``."""
        return self._writer.run(partial(abandon, key=key, turn_id=turn_id))

    def _at_once(
        self, statement: Callable[..., _T], *arguments: object, **more: object
    ) -> Callable[[apsw.Connection], _T]:
        """What a thread is to run, with the time at which it was asked for."""
        now = self._clock.wall()
        return lambda connection: statement(connection, *arguments, now_epoch_seconds=now, **more)

    def _with_options(
        self, statement: Callable[..., _T], *arguments: object, **more: object
    ) -> Callable[[apsw.Connection], _T]:
        return self._at_once(statement, *arguments, options=self._options, **more)


def _forget(connection: apsw.Connection, now_epoch_seconds: float) -> None:
    """Drop what expired, twice as much as can have come since the last time."""
    limit = _FORGOTTEN_PER_COMMIT * _COMMITS_BETWEEN_FORGETTING
    forget_conversations(connection, limit, now_epoch_seconds=now_epoch_seconds)
    forget_leases(connection, limit, now_epoch_seconds=now_epoch_seconds)


def _commit(
    connection: apsw.Connection,
    conversation: ConversationId,
    turn: Turn,
    base_seq: int,
    *,
    token: str | None,
    forgets: bool,
    recent: RecentTurns,
    options: StoreOptions,
    now_epoch_seconds: float,
) -> StoredTurn:
    if forgets:
        _forget(connection, now_epoch_seconds)
    stored = append_turn(
        connection, conversation, turn, base_seq, recent, options=options, now_epoch_seconds=now_epoch_seconds
    )
    if token is not None:
        give_turn(connection, conversation, token)
    return stored


def _take_turn(
    connection: apsw.Connection,
    conversation: ConversationId,
    token: str,
    ttl_seconds: float,
    last_turns: int,
    *,
    recent: RecentTurns,
    options: StoreOptions,
    now_epoch_seconds: float,
) -> Window | None:
    if not take_turn(connection, conversation, token, ttl_seconds, now_epoch_seconds=now_epoch_seconds):
        return None
    return read_window(
        connection, conversation, last_turns, recent, options=options, now_epoch_seconds=now_epoch_seconds
    )


def _erase(
    connection: apsw.Connection,
    user_id: str,
    session_id: str | None,
    *,
    recent: RecentTurns,
    options: StoreOptions,
    now_epoch_seconds: float,
) -> int:
    recent.forget(user_id, session_id)
    erase_claims(connection, user_id, session_id)
    return erase_conversations(
        connection, user_id, session_id, options=options, now_epoch_seconds=now_epoch_seconds
    )


def _read_header(connection: apsw.Connection) -> None:
    connection.pragma("schema_version")
