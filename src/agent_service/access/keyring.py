"""The keys that are known now, by what their bearers present."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_service.access.key import digest_of, id_in
from agent_service.core.caller import ANYBODY, Caller
from agent_service.core.errors import UnauthorizedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent_service.access.key import Key
    from agent_service.core.clock import Clock


@dataclass(frozen=True, slots=True)
class _Entry:
    digest: bytes
    caller: Caller
    expires_at_epoch_seconds: float | None


_NOBODY = _Entry(secrets.token_bytes(32), ANYBODY, None)
"""Stands in for ids that are not known, so that they take as long as others. Nothing has its digest."""


class Keyring:
    """Knows the bearers of keys; see ``Identifying``.

    Args:
        clock: says which keys have expired.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry] = {}

    def __repr__(self) -> str:
        return f"<Keyring of {len(self._entries)}>"

    def replace(self, keys: Iterable[Key]) -> None:
        """Know ``keys``, and no others any more."""
        self._entries = {key.id: _entry(key) for key in keys}

    async def identify(self, credential: str) -> Caller:
        """The bearer of the key.

        Raises:
            UnauthorizedError: the key is not known, not known any more, or has expired.
        """
        entry = self._entries.get(id_in(credential), _NOBODY)
        if not hmac.compare_digest(entry.digest, digest_of(credential)):
            raise UnauthorizedError("The key is not known.", presented=True)
        expires = entry.expires_at_epoch_seconds
        if expires is not None and expires <= self._clock.wall():
            raise UnauthorizedError("The key has expired.", presented=True)
        return entry.caller


def _entry(key: Key) -> _Entry:
    expires = None if key.expires_at is None else key.expires_at.timestamp()
    return _Entry(bytes.fromhex(key.sha256), key.caller(), expires)
