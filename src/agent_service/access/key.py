"""One API key: what it looks like, what is kept of it, what its bearer may do."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from agent_service.access.limits.rate import parse_rates
from agent_service.core.caller import Caller, Scope

PREFIX = "ask_"
"""By which people, and scanners for leaked secrets, know a key when they see one."""

_ID_BYTES = 6
_SECRET_BYTES = 32
_KEY = re.compile(rf"{PREFIX}([0-9a-f]{{{2 * _ID_BYTES}}})_[0-9a-f]{{{2 * _SECRET_BYTES}}}")


def _printable(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError("must be printable characters and not only spaces")
    return text


def _rate(text: str) -> str:
    parse_rates(text)
    return text


Label = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_printable)]
RateLimit = Annotated[str, AfterValidator(_rate)]


class Key(BaseModel):
    """What is kept of a key, as it stands in the file: all but the key itself.

    Attributes:
        id: its public part, which logs and ``keys revoke`` name.
        name: for people.
        sha256: of the whole key, in hexadecimal digits.
        scopes: what its bearer may do.
        user_id: the only user its bearer may ask for; None for any.
        rate_limit: its own limit instead of the service's, such as ``60/minute``.
        tokens_per_day: language model tokens it may use in a day.
        created_at: when it was made.
        expires_at: when it ends; None for never.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: Annotated[str, Field(pattern=rf"^[0-9a-f]{{{2 * _ID_BYTES}}}$")]
    name: Label
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: Annotated[frozenset[Scope], Field(min_length=1)]
    user_id: Label | None = None
    rate_limit: RateLimit | None = None
    tokens_per_day: Annotated[int, Field(ge=1)] | None = None
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None

    def caller(self) -> Caller:
        """Its bearer."""
        return Caller(self.id, self.scopes, self.user_id, self.rate_limit, self.tokens_per_day)


def new_secret() -> tuple[str, str]:
    """A new id, and the whole key that begins with it: 256 random bits of the system's."""
    key_id = secrets.token_hex(_ID_BYTES)
    return key_id, f"{PREFIX}{key_id}_{secrets.token_hex(_SECRET_BYTES)}"


def id_in(presented: str) -> str:
    """The id within what was presented as a key; empty when it has not the form of one."""
    found = _KEY.fullmatch(presented)
    return found[1] if found else ""


def digest_of(presented: str) -> bytes:
    """What is compared. The secret is random and long, so that one round of SHA-256 is enough."""
    return hashlib.sha256(presented.encode()).digest()
