"""What is read from and written to the SQLite file. Each function runs inside a transaction of its caller."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agent_service.core.messages import StoredTurn, Turn
from agent_service.memory.base import Page, SessionInfo, Window, older_than, stretch
from agent_service.memory.sqlite_cells import from_cell, rows_of, to_cell
from agent_service.memory.sqlite_recent import Head

if TYPE_CHECKING:
    import apsw

    from agent_service.core.messages import ConversationId
    from agent_service.memory.base import StoreOptions
    from agent_service.memory.sqlite_recent import RecentTurns

_TRIMS_PER_LENGTH = 10
"""How often trimming happens while as many turns come as are kept."""

FIND_CONVERSATION = """
    SELECT id, first_seq, last_seq, expires_at_epoch_seconds FROM conversations
    WHERE user_id = ? AND session_id = ?"""
FIND_SESSIONS = """
    SELECT id, first_seq, last_seq, expires_at_epoch_seconds FROM conversations WHERE user_id = ?"""
LIST_SESSIONS = """
    SELECT session_id, first_seq, last_seq, at_epoch_seconds FROM conversations
    JOIN turns ON conversation_id = id AND seq = last_seq
    WHERE user_id = ? AND session_id > ? AND expires_at_epoch_seconds > ? ORDER BY session_id LIMIT ?"""
LIST_FIRST_SESSIONS = LIST_SESSIONS.replace("session_id > ? AND", "")
FIND_EXPIRED = """
    SELECT id FROM conversations WHERE expires_at_epoch_seconds <= ?
    ORDER BY expires_at_epoch_seconds LIMIT ?"""
ADD_CONVERSATION = """
    INSERT INTO conversations (user_id, session_id, first_seq, last_seq, expires_at_epoch_seconds)
    VALUES (?, ?, 1, 0, ?) RETURNING id"""
MOVE_CONVERSATION = """
    UPDATE conversations SET first_seq = ?, last_seq = ?, expires_at_epoch_seconds = ? WHERE id = ?"""
DROP_CONVERSATION = "DELETE FROM conversations WHERE id = ?"
ADD_TURN = """
    INSERT INTO turns
        (conversation_id, seq, base_seq, turn_id, at_epoch_seconds, model, program, question, answer)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
FIND_TURN = """
    SELECT seq, base_seq, turn_id, at_epoch_seconds, model, program, question, answer FROM turns
    WHERE conversation_id = ? AND turn_id = ?"""
FIND_NEWEST = "SELECT turn_id FROM turns WHERE conversation_id = ? AND seq = ?"
READ_TURNS = """
    SELECT seq, base_seq, turn_id, at_epoch_seconds, model, program, question, answer FROM turns
    WHERE conversation_id = ? AND seq BETWEEN ? AND ? ORDER BY seq"""
TRIM_TURNS = """
    UPDATE turns SET question = NULL, answer = NULL WHERE conversation_id = ? AND seq BETWEEN ? AND ?"""
FORGET_TURNS = "DELETE FROM turns WHERE conversation_id = ? AND seq <= ?"
DROP_TURNS = "DELETE FROM turns WHERE conversation_id = ?"


def read_window(
    connection: apsw.Connection,
    conversation: ConversationId,
    last_turns: int,
    recent: RecentTurns | None = None,
    *,
    options: StoreOptions,
    now_epoch_seconds: float,
) -> Window:
    """See ``ConversationStore.read``. What ``recent`` knows is not read again."""
    head = _find(connection, conversation, now_epoch_seconds)
    if head is None:
        return Window()
    seqs = stretch(head.kept_from(options.max_turns), head.last_seq, limit=last_turns)
    if recent is None or not seqs:
        return Window(_read(connection, head, seqs), head.last_seq)
    turns = recent.find(conversation, head, seqs)
    if not turns or not _is_newest(connection, head, turns[-1].turn):
        turns = _read(connection, head, seqs)
        recent.note(conversation, head, turns, last_turns)
    return Window(turns, head.last_seq)


def read_page(
    connection: apsw.Connection,
    conversation: ConversationId,
    limit: int,
    before_seq: int | None,
    *,
    options: StoreOptions,
    now_epoch_seconds: float,
) -> Page:
    """See ``ConversationStore.page``."""
    head = _find(connection, conversation, now_epoch_seconds)
    if head is None:
        return Page((), None)
    first_seq = head.kept_from(options.max_turns)
    seqs = stretch(first_seq, head.last_seq, limit=limit, before_seq=before_seq)
    return Page(_read(connection, head, seqs), older_than(seqs, first_seq))


def append_turn(
    connection: apsw.Connection,
    conversation: ConversationId,
    turn: Turn,
    base_seq: int,
    recent: RecentTurns | None = None,
    *,
    options: StoreOptions,
    now_epoch_seconds: float,
) -> StoredTurn:
    """See ``ConversationStore.commit``. What ``recent`` knows of the conversation stays whole."""
    expires_at = now_epoch_seconds + options.ttl_seconds
    head = _find(connection, conversation, now_epoch_seconds)
    if head is None:
        head = _add(connection, conversation, expires_at)
    repeated = _find_turn(connection, head, turn, options.max_turns)
    if repeated is not None:
        return repeated
    stored = StoredTurn(turn, head.last_seq + 1, base_seq)
    connection.execute(ADD_TURN, _to_row(head.row_id, stored))
    moved = _move(connection, head, options.max_turns, expires_at)
    if recent is not None:
        recent.append(conversation, head, moved, stored)
    return stored


def forget_conversations(connection: apsw.Connection, limit: int, *, now_epoch_seconds: float) -> None:
    """Drop conversations that expired, at most ``limit``, the oldest first."""
    for (row_id,) in rows_of(connection, FIND_EXPIRED, (now_epoch_seconds, limit)):
        _drop(connection, row_id)


def list_sessions(
    connection: apsw.Connection,
    user_id: str,
    limit: int,
    after: str | None,
    *,
    options: StoreOptions,
    now_epoch_seconds: float,
) -> tuple[SessionInfo, ...]:
    """See ``ConversationStore.sessions``."""
    statement = LIST_FIRST_SESSIONS if after is None else LIST_SESSIONS
    behind = () if after is None else (to_cell(after),)
    rows = rows_of(connection, statement, (to_cell(user_id), *behind, now_epoch_seconds, limit))
    return tuple(
        SessionInfo(from_cell(name), min(options.max_turns, last_seq - first_seq + 1), last_seq, at)
        for name, first_seq, last_seq, at in rows
    )


def erase_conversations(
    connection: apsw.Connection,
    user_id: str,
    session_id: str | None,
    *,
    options: StoreOptions,
    now_epoch_seconds: float,
) -> int:
    """See ``ConversationStore.erase``. Expired ones go too, uncounted."""
    if session_id is None:
        rows = rows_of(connection, FIND_SESSIONS, (to_cell(user_id),))
    else:
        rows = rows_of(connection, FIND_CONVERSATION, (to_cell(user_id), to_cell(session_id)))
    gone = 0
    for row_id, first_seq, last_seq, expires_at in rows:
        _drop(connection, row_id)
        if expires_at > now_epoch_seconds:
            gone += last_seq + 1 - Head(row_id, first_seq, last_seq, expires_at).kept_from(options.max_turns)
    return gone


def _find(connection: apsw.Connection, conversation: ConversationId, now: float) -> Head | None:
    ids = (to_cell(conversation.user_id), to_cell(conversation.session_id))
    for row_id, first_seq, last_seq, expires_at in rows_of(connection, FIND_CONVERSATION, ids):
        if expires_at > now:
            return Head(row_id, first_seq, last_seq, expires_at)
    return None


def _add(connection: apsw.Connection, conversation: ConversationId, expires_at: float) -> Head:
    """A new row; one that has expired makes place for it."""
    ids = (to_cell(conversation.user_id), to_cell(conversation.session_id))
    for expired in rows_of(connection, FIND_CONVERSATION, ids):
        _drop(connection, expired[0])
    [(row_id,)] = rows_of(connection, ADD_CONVERSATION, (*ids, expires_at))
    return Head(row_id, 1, 0, expires_at)


def _move(connection: apsw.Connection, head: Head, max_turns: int, expires_at: float) -> Head:
    """Count the turn that was added; returns the row as it is then.

    Of turns that are not shown any more some are trimmed at a time: they lose their texts, older ones go.
    """
    moved = Head(head.row_id, head.first_seq, head.last_seq + 1, expires_at)
    first_seq = moved.kept_from(max_turns)
    trims = first_seq - head.first_seq > max_turns // _TRIMS_PER_LENGTH
    if trims:
        moved = replace(moved, first_seq=first_seq)
    connection.execute(MOVE_CONVERSATION, (moved.first_seq, moved.last_seq, expires_at, head.row_id))
    if trims:
        connection.execute(TRIM_TURNS, (head.row_id, head.first_seq, first_seq - 1))
        connection.execute(FORGET_TURNS, (head.row_id, moved.last_seq - 2 * max_turns))
    return moved


def _drop(connection: apsw.Connection, row_id: int) -> None:
    connection.execute(DROP_TURNS, (row_id,))
    connection.execute(DROP_CONVERSATION, (row_id,))


def _find_turn(connection: apsw.Connection, head: Head, turn: Turn, max_turns: int) -> StoredTurn | None:
    rows = rows_of(connection, FIND_TURN, (head.row_id, to_cell(turn.turn_id)))
    for seq, base_seq, *cells in rows:
        if seq >= head.kept_from(max_turns):
            return _from_row(seq, base_seq, *cells)
        return StoredTurn(turn, seq, base_seq)
    return None


def _is_newest(connection: apsw.Connection, head: Head, turn: Turn) -> bool:
    rows = rows_of(connection, FIND_NEWEST, (head.row_id, head.last_seq))
    return bool(rows) and from_cell(rows[0][0]) == turn.turn_id


def _read(connection: apsw.Connection, head: Head, seqs: range) -> tuple[StoredTurn, ...]:
    if not seqs:
        return ()
    rows = rows_of(connection, READ_TURNS, (head.row_id, seqs.start, seqs.stop - 1))
    return tuple(_from_row(*row) for row in rows)


def _to_row(row_id: int, stored: StoredTurn) -> tuple[int | float | str | bytes, ...]:
    turn = stored.turn
    texts = (turn.model, turn.program, turn.question, turn.answer)
    cells = (to_cell(text) for text in texts)
    return (row_id, stored.seq, stored.base_seq, to_cell(turn.turn_id), turn.at_epoch_seconds, *cells)


def _from_row(
    seq: int,
    base_seq: int,
    turn_id: str | bytes,
    at_epoch_seconds: float,
    *texts: str | bytes,
) -> StoredTurn:
    model, program, question, answer = (from_cell(text) for text in texts)
    turn = Turn(from_cell(turn_id), question, answer, at_epoch_seconds, model, program)
    return StoredTurn(turn, seq, base_seq)
