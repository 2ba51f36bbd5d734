"""Is a new version worse than the one before? Counted by outcomes, not by time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrialOptions:
    """When a new version is worse.

    Attributes:
        margin: how much larger its share of failed queries may be, from 0 to 1; 1 lets everything pass.
        min_outcomes: as many of its queries must have ended before it is judged.
        window: of each version, so many of the last outcomes count.
    """

    margin: float = 0.2
    min_outcomes: int = 20
    window: int = 200

    def __post_init__(self) -> None:
        if not 0 <= self.margin <= 1:
            raise ValueError("margin must be from 0 to 1")
        if not 1 <= self.min_outcomes <= self.window:
            raise ValueError("min_outcomes must be from 1 to window")


class Trial:
    """Outcomes by version, of one program."""

    def __init__(self, options: TrialOptions) -> None:
        self._options = options
        self._outcomes: dict[str, deque[bool]] = {}

    def __repr__(self) -> str:
        return f"<Trial {self}>"

    def __str__(self) -> str:
        shares = (
            f"{version} {sum(outcomes)} of {len(outcomes)}" for version, outcomes in self._outcomes.items()
        )
        return ", ".join(shares) or "nothing yet"

    def ended(self, version: str, *, failed: bool) -> None:
        """A query that ``version`` ran has ended; ``failed`` when the version may be why it has no answer."""
        self._outcomes.setdefault(version, deque(maxlen=self._options.window)).append(failed)

    def begin(self, version: str) -> None:
        """Forget what ``version`` did before; its trial begins."""
        self._outcomes.pop(version, None)

    def keep(self, versions: frozenset[str]) -> None:
        """Forget all others."""
        self._outcomes = {name: found for name, found in self._outcomes.items() if name in versions}

    def failed_share(self, version: str) -> float:
        """From 0 to 1; 0 for a version of which nothing is known."""
        outcomes = self._outcomes.get(version)
        return sum(outcomes) / len(outcomes) if outcomes else 0.0

    def is_full(self, version: str) -> bool:
        """Whether as many outcomes of ``version`` are known as count."""
        return len(self._outcomes.get(version, ())) == self._options.window

    def is_worse(self, version: str, *, than: str) -> bool:
        """Whether enough of ``version`` is known, and more of its queries fail than the margin allows."""
        if len(self._outcomes.get(version, ())) < self._options.min_outcomes:
            return False
        return self.failed_share(version) - self.failed_share(than) > self._options.margin
