"""The names of what is kept in Redis, and the form of a turn.

Ids are hashed with the length of each part before it, so that no two pairs of ids share a key, whatever
characters they hold. What belongs together stands in one pair of braces: one slot of a cluster.
"""

from __future__ import annotations

import base64
import hashlib
import math
from typing import TYPE_CHECKING, Any

import orjson

from agent_service.core.messages import StoredTurn, Turn
from agent_service.memory.base import RecordUnusableError

if TYPE_CHECKING:
    from agent_service.core.messages import ConversationId
    from agent_service.memory.base import IdempotencyKey

_PREFIX = "agsv:1:"
"""Ours, in version 1 of this layout: what access rules name."""

_VERSION = 1


def to_bytes(text: str) -> bytes:
    """UTF-8, lone surrogates included."""
    return text.encode("utf-8", "surrogatepass")


def to_text(stored: bytes) -> str:
    """The text that ``to_bytes`` was given."""
    return stored.decode("utf-8", "surrogatepass")


def milliseconds(seconds: float) -> int:
    """A time to live as Redis takes it, which is never nothing."""
    return max(1, int(seconds * 1000))


def conversation_keys(conversation: ConversationId) -> tuple[str, str, str]:
    """The turns, the head and the turn ids of a conversation."""
    base = _base("conversation", conversation.user_id, conversation.session_id)
    return f"{base}:t", f"{base}:m", f"{base}:s"


def lease_key(conversation: ConversationId) -> str:
    """The turn lease of a conversation."""
    return f"{_base('conversation', conversation.user_id, conversation.session_id)}:l"


def sessions_key(user_id: str) -> str:
    """The session ids of a user, by expiry."""
    return f"{_base('user', user_id)}:u"


def records_key(principal: str) -> str:
    """The names of a principal's idempotency records, by expiry."""
    return f"{_base('principal', principal)}:k"


def record_name(key: IdempotencyKey) -> str:
    """The name of one idempotency record among those of its principal."""
    return _digest("key", key.key)


def record_keys(principal: str, name: str) -> tuple[str, str, str]:
    """An idempotency record, its holder, and the names of the principal's records."""
    base = _base("principal", principal)
    return f"{base}:i:{name}", f"{base}:r:{name}", f"{base}:k"


def streams_key(user_id: str) -> str:
    """The names of a user's event streams, by expiry."""
    return f"{_base('streams', user_id)}:n"


def stream_name(session_id: str, request_id: str) -> str:
    """The name of one event stream among those of its user; it tells the session too."""
    return f"{_digest('session', session_id)}:{_digest('request', request_id)}"


def is_stream_of(name: str, session_id: str) -> bool:
    """Whether the stream of this name belongs to the session."""
    return name.startswith(f"{_digest('session', session_id)}:")


def named_stream_keys(user_id: str, name: str) -> tuple[str, str]:
    """An event stream by its name, and the names of its user's streams."""
    return f"{_base('streams', user_id)}:e:{name.partition(':')[2]}", streams_key(user_id)


def stream_keys(user_id: str, request_id: str) -> tuple[str, str]:
    """An event stream, and the names of its user's streams."""
    return named_stream_keys(user_id, stream_name("", request_id))


def encode_turn(turn: Turn, base_seq: int) -> bytes:
    """One turn without its seq, which Redis writes after the opening brace.

    Raises:
        RecordUnusableError: its time is no number that JSON knows.
    """
    if not math.isfinite(turn.at_epoch_seconds):
        raise RecordUnusableError from ValueError("at_epoch_seconds must be finite")
    fields = {
        "v": _VERSION,
        "base": str(base_seq),
        "at": turn.at_epoch_seconds,
        "id": _to_json(turn.turn_id),
        "model": _to_json(turn.model),
        "program": _to_json(turn.program),
        "q": _to_json(turn.question),
        "a": _to_json(turn.answer),
    }
    return orjson.dumps(fields)


def decode_turn(stored: bytes) -> StoredTurn:
    """The turn that ``encode_turn`` was given, with its place.

    Raises:
        RecordUnusableError: it is no turn of ours.
    """
    try:
        found = orjson.loads(stored)
        names = ("id", "q", "a", "model", "program")
        turn_id, question, answer, model, program = (_from_json(found[name]) for name in names)
        turn = Turn(turn_id, question, answer, found["at"], model, program)
        return StoredTurn(turn, found["seq"], int(found["base"]))
    except (ValueError, KeyError, TypeError) as error:
        raise RecordUnusableError from error


def _base(kind: str, *ids: str) -> str:
    return f"{_PREFIX}{{{_digest(kind, *ids)}}}"


def _digest(*parts: str) -> str:
    hashed = hashlib.sha256()
    for part in map(to_bytes, parts):
        hashed.update(b"%d:%b" % (len(part), part))
    return base64.b32encode(hashed.digest()).decode().rstrip("=").lower()


def _to_json(text: str) -> str | list[str]:
    """Text as it is; its bytes in hexadecimal where a lone surrogate keeps it from being UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return [to_bytes(text).hex()]
    return text


def _from_json(value: Any) -> str:
    return value if isinstance(value, str) else to_text(bytes.fromhex(value[0]))
