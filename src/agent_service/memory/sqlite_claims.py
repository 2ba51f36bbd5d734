"""Turn leases and idempotency records in the SQLite file. Each runs inside a transaction of its caller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.memory.base import MAX_RESPONSE_BYTES, Claim
from agent_service.memory.sqlite_cells import from_cell, rows_of, to_cell

if TYPE_CHECKING:
    import apsw

    from agent_service.core.messages import ConversationId
    from agent_service.memory.base import IdempotencyKey

_FORGOTTEN_PER_ADDITION = 2
"""Above one, so that what expired goes faster than new records come."""

TAKE_LEASE = """
    INSERT INTO turn_leases (user_id, session_id, token, expires_at_epoch_seconds) VALUES (?, ?, ?, ?)
    ON CONFLICT (user_id, session_id) DO UPDATE
    SET token = excluded.token, expires_at_epoch_seconds = excluded.expires_at_epoch_seconds
    WHERE token = excluded.token OR expires_at_epoch_seconds <= ?"""
KEEP_LEASE = """
    UPDATE turn_leases SET expires_at_epoch_seconds = ?
    WHERE user_id = ? AND session_id = ? AND token = ? AND expires_at_epoch_seconds > ?"""
DROP_LEASE = "DELETE FROM turn_leases WHERE user_id = ? AND session_id = ? AND token = ?"
ERASE_LEASE = "DELETE FROM turn_leases WHERE user_id = ? AND session_id = ?"
ERASE_LEASES = "DELETE FROM turn_leases WHERE user_id = ?"
FORGET_LEASES = """
    DELETE FROM turn_leases WHERE rowid IN (
        SELECT rowid FROM turn_leases WHERE expires_at_epoch_seconds <= ?
        ORDER BY expires_at_epoch_seconds LIMIT ?)"""
FIND_RECORD = """
    SELECT fingerprint, turn_id, claimant, runs_until_epoch_seconds, done, response FROM idempotency_records
    WHERE principal = ? AND key = ? AND expires_at_epoch_seconds > ?"""
PUT_RECORD = """
    INSERT OR REPLACE INTO idempotency_records
        (principal, key, fingerprint, turn_id, claimant, runs_until_epoch_seconds, expires_at_epoch_seconds)
    VALUES (?, ?, ?, ?, ?, ?, ?)"""
FINISH_RECORD = """
    UPDATE idempotency_records SET done = 1, response = ?, expires_at_epoch_seconds = ?
    WHERE principal = ? AND key = ?"""
DROP_RECORD = """
    DELETE FROM idempotency_records WHERE principal = ? AND key = ? AND turn_id = ? AND done = 0"""
ERASE_RECORDS = "DELETE FROM idempotency_records WHERE principal = ?"
FORGET_RECORDS = """
    DELETE FROM idempotency_records WHERE rowid IN (
        SELECT rowid FROM idempotency_records WHERE expires_at_epoch_seconds <= ?
        ORDER BY expires_at_epoch_seconds LIMIT ?)"""


def take_turn(
    connection: apsw.Connection,
    conversation: ConversationId,
    token: str,
    ttl_seconds: float,
    *,
    now_epoch_seconds: float,
) -> bool:
    """Whether ``token`` has the lease now; see ``ConversationStore.take_turn``."""
    until = now_epoch_seconds + ttl_seconds
    cells = (to_cell(conversation.user_id), to_cell(conversation.session_id), to_cell(token), until)
    connection.execute(TAKE_LEASE, (*cells, now_epoch_seconds))
    return connection.changes() > 0


def forget_leases(connection: apsw.Connection, limit: int, *, now_epoch_seconds: float) -> None:
    """Drop leases that expired because their process died, at most ``limit``."""
    connection.execute(FORGET_LEASES, (now_epoch_seconds, limit))


def keep_turn(
    connection: apsw.Connection,
    conversation: ConversationId,
    token: str,
    ttl_seconds: float,
    *,
    now_epoch_seconds: float,
) -> bool:
    """See ``ConversationStore.keep_turn``."""
    cells = (to_cell(conversation.user_id), to_cell(conversation.session_id), to_cell(token))
    until = now_epoch_seconds + ttl_seconds
    connection.execute(KEEP_LEASE, (until, *cells, now_epoch_seconds))
    return connection.changes() > 0


def give_turn(connection: apsw.Connection, conversation: ConversationId, token: str) -> None:
    """See ``ConversationStore.give_turn``."""
    ids = (to_cell(conversation.user_id), to_cell(conversation.session_id))
    connection.execute(DROP_LEASE, (*ids, to_cell(token)))


def claim(
    connection: apsw.Connection,
    key: IdempotencyKey,
    fingerprint: str,
    *,
    turn_id: str,
    ttl_seconds: float,
    running_ttl_seconds: float,
    now_epoch_seconds: float,
) -> Claim:
    """See ``ConversationStore.claim``."""
    ids, kept_id = (to_cell(key.principal), to_cell(key.key)), turn_id
    for first, found_id, claimant, runs_until, done, response in rows_of(
        connection, FIND_RECORD, (*ids, now_epoch_seconds)
    ):
        found = Claim("done" if done else "running", from_cell(first), from_cell(found_id), response)
        is_held = runs_until > now_epoch_seconds and from_cell(claimant) != turn_id
        if done or is_held or found.fingerprint != fingerprint:
            return found
        kept_id = found.turn_id
    connection.execute(FORGET_RECORDS, (now_epoch_seconds, _FORGOTTEN_PER_ADDITION))
    cells = (to_cell(fingerprint), to_cell(kept_id), to_cell(turn_id))
    until = (now_epoch_seconds + running_ttl_seconds, now_epoch_seconds + ttl_seconds)
    connection.execute(PUT_RECORD, (*ids, *cells, *until))
    return Claim("new", fingerprint, kept_id)


def finish(
    connection: apsw.Connection,
    key: IdempotencyKey,
    turn_id: str,
    response: bytes,
    ttl_seconds: float,
    *,
    now_epoch_seconds: float,
) -> bool:
    """See ``ConversationStore.finish``."""
    ids = (to_cell(key.principal), to_cell(key.key))
    for _, found_id, _, _, done, stored in rows_of(connection, FIND_RECORD, (*ids, now_epoch_seconds)):
        if from_cell(found_id) != turn_id:
            return False
        kept = stored if done else response if len(response) <= MAX_RESPONSE_BYTES else None
        if not done:
            connection.execute(FINISH_RECORD, (kept, now_epoch_seconds + ttl_seconds, *ids))
        return kept is not None
    return False


def abandon(connection: apsw.Connection, key: IdempotencyKey, turn_id: str) -> None:
    """See ``ConversationStore.abandon``."""
    connection.execute(DROP_RECORD, (to_cell(key.principal), to_cell(key.key), to_cell(turn_id)))


def erase_claims(connection: apsw.Connection, user_id: str, session_id: str | None) -> None:
    """The leases, and of a whole user the idempotency records."""
    if session_id is not None:
        connection.execute(ERASE_LEASE, (to_cell(user_id), to_cell(session_id)))
        return
    connection.execute(ERASE_LEASES, (to_cell(user_id),))
    connection.execute(ERASE_RECORDS, (to_cell(user_id),))
