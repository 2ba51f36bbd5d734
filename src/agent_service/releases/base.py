"""Where releases are kept: the contract."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_service.releases.standing import Standing

MAX_STATE_BYTES = 16 * 1024 * 1024
_VERSION_CHARS = 12


class ReleaseError(Exception):
    """What was asked of a release cannot be done. The message is for the operator who asked."""


@dataclass(frozen=True, slots=True)
class Release:
    """A saved state of a program that can be served.

    Attributes:
        version: its name, made from its content.
        added_at_epoch_seconds: when it was added first.
        note: what its author says of it.
    """

    version: str
    added_at_epoch_seconds: float
    note: str = ""


class Shelf(Protocol):
    """Keeps the releases of every program, and how they stand. All processes that share it see the same.

    Each method raises ``OSError`` when the shelf cannot be reached.
    """

    async def add(self, program: str, state: bytes, *, note: str = "") -> Release:
        """Keep ``state``, a JSON object as ``program.save`` writes it; the same content is the same release.

        Raises:
            ReleaseError: it is no JSON object, or longer than ``MAX_STATE_BYTES``.
        """

    async def releases(self, program: str) -> tuple[Release, ...]:
        """All of a program, oldest first."""

    async def state(self, program: str, version: str) -> bytes:
        """What was added as ``version``.

        Raises:
            ReleaseError: there is no such release, or its content is not what its name says.
        """

    async def standing(self, program: str) -> Standing:
        """How the program's releases stand; the beginning is ``base`` for everybody."""

    async def change(self, program: str, change: Callable[[Standing], Standing]) -> Standing:
        """Apply ``change`` to the standing, at once for all, and return the new one; its errors pass."""


def version_of(state: bytes) -> str:
    """The name of a state: the beginning of its SHA-256.

    Raises:
        ReleaseError: it is no JSON object, or too long.
    """
    if len(state) > MAX_STATE_BYTES:
        raise ReleaseError(f"a state may have at most {MAX_STATE_BYTES} bytes, this one has {len(state)}")
    try:
        found = json.loads(state)
    except (ValueError, RecursionError) as error:
        raise ReleaseError(f"a state is JSON, as program.save writes it; this is not: {error}") from None
    if not isinstance(found, dict):
        raise ReleaseError("a state is a JSON object, as program.save writes it")
    return hashlib.sha256(state).hexdigest()[:_VERSION_CHARS]
