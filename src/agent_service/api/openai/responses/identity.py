"""The identity of a response, which says where it is kept."""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from dataclasses import dataclass, field

_MAX_SESSION_DIGITS = 700
"""More than 128 characters of four bytes each need."""

_ID = re.compile(rf"(?:resp|msg)_([0-9a-f]{{32}})_([A-Za-z0-9_-]{{1,{_MAX_SESSION_DIGITS}}})")


@dataclass(frozen=True, slots=True)
class ResponseIdentity:
    """One response: its turn, and the session that the turn is kept in, None when it is not to be kept.

    Both are part of the ids that clients see, so that any process can continue a response, and its id is
    known before its answer. An id opens nothing: the turn is looked up for the user who asks.
    """

    session_id: str | None
    turn_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def response(self) -> str:
        """The id of the response."""
        return f"resp_{self._digits}"

    @property
    def message(self) -> str:
        """The id of the answer within it, by which it can be continued too."""
        return f"msg_{self._digits}"

    def step(self, number: int) -> str:
        """The id of a tool step within it."""
        return f"rs_{self.turn_id}_{number}"

    @property
    def _digits(self) -> str:
        if self.session_id is None:
            return self.turn_id
        return f"{self.turn_id}_{base64.urlsafe_b64encode(self.session_id.encode()).decode().rstrip('=')}"


def kept_response(identity: str) -> ResponseIdentity | None:
    """The response that has the id, or whose answer has it; None when it can be none that is kept."""
    found = _ID.fullmatch(identity)
    if found is None:
        return None
    digits = found[2]
    try:
        session_id = base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4)).decode()
    except (binascii.Error, ValueError):
        return None
    return ResponseIdentity(session_id, found[1])
