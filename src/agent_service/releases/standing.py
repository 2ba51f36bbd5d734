"""Which version of a program answers whom: pure transitions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from agent_service.core.messages import BASE_VERSION

BASE = BASE_VERSION
"""The version that needs no release: the program as it is loaded."""

_MAX_EARLIER = 20
_BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class Standing:
    """Which version is active, which were, and which is tried out.

    Attributes:
        active: answers everybody whom the canary does not.
        earlier: what was active before, oldest first.
        canary: the version that is tried out, if any.
        percent: the share of conversations that the canary answers, from 0 to 100.
    """

    active: str = BASE
    earlier: tuple[str, ...] = ()
    canary: str | None = None
    percent: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= 100:  # noqa: PLR2004 - per cent
            raise ValueError("percent must be from 0 to 100")

    @property
    def newest(self) -> str | None:
        """The version that is on trial: the canary, else the active one when another was active before."""
        return self.canary or (self.active if self.earlier else None)

    @property
    def proven(self) -> str:
        """The version that a trial is compared with, and goes back to."""
        return self.active if self.canary or not self.earlier else self.earlier[-1]

    def activated(self, version: str) -> Standing:
        """``version`` answers everybody; a canary ends."""
        if version == self.active:
            return Standing(self.active, self.earlier)
        return Standing(version, (*self.earlier, self.active)[-_MAX_EARLIER:])

    def trying(self, version: str, percent: float) -> Standing:
        """``version`` answers that share of the conversations.

        Raises:
            ValueError: it is active already, or the share is none.
        """
        if version == self.active:
            raise ValueError(f"{version} is active already")
        return replace(self, canary=version, percent=percent)

    def rolled_back(self) -> Standing:
        """Without the canary; without one, the version that was active before is again.

        Raises:
            ValueError: there is nothing to go back to.
        """
        if self.canary is not None:
            return Standing(self.active, self.earlier)
        if not self.earlier:
            raise ValueError("no version was active before this one")
        return Standing(self.earlier[-1], self.earlier[:-1])

    def version_for(self, user_id: str, session_id: str) -> str:
        """The version that answers a conversation: the same one for as long as the trial lasts.

        A larger share takes more conversations to the canary and none away from it. Another canary is tried
        on other conversations.
        """
        if self.canary is None:
            return self.active
        key = f"{self.canary}\0{user_id}\0{session_id}".encode()
        bucket = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") % _BUCKETS
        return self.canary if bucket < self.percent * _BUCKETS / 100 else self.active
