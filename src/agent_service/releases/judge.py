"""Which version of a program is on trial, and how the trial goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.releases.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_service.releases.standing import Standing
    from agent_service.releases.trial import TrialOptions


class Judge:
    """Counts how the queries of one program end, by version, while one of them is on trial.

    A canary is on trial for as long as it is one. A version that becomes active is until ``window`` of its
    queries have ended; one that comes back is not.

    Args:
        options: when a version is worse.
        shown: how answers call a version.
    """

    def __init__(self, options: TrialOptions, *, shown: Callable[[str], str]) -> None:
        self._options = options
        self._shown = shown
        self._trial = Trial(options)
        self._pair: tuple[str, str] | None = None
        self._is_canary = False

    def __repr__(self) -> str:
        return f"<Judge of {self._pair}: {self}>"

    def __str__(self) -> str:
        return str(self._trial)

    def moved(self, before: Standing, after: Standing) -> None:
        """Another standing is in force."""
        pair = self._judged(before, after)
        if pair is not None and pair != self._pair:
            self._trial.begin(pair[0])
        self._pair, self._is_canary = pair, after.canary is not None
        self._trial.keep(
            frozenset(map(self._shown, {after.active, after.canary or after.active, after.proven}))
        )

    def ended(self, version: str, *, failed: bool) -> None:
        """A query that ``version`` ran has ended; ``failed`` when the version may be why it has no answer."""
        self._trial.ended(version, failed=failed)

    def finds_worse(self) -> bool:
        """Whether the version on trial is worse than the one before it; one that is not may have passed."""
        if self._pair is None:
            return False
        newest, proven = self._pair
        is_worse = self._trial.is_worse(newest, than=proven)
        if not is_worse and not self._is_canary and self._trial.is_full(newest):
            self._pair = None
        return is_worse

    def _judged(self, before: Standing, after: Standing) -> tuple[str, str] | None:
        """The version on trial, and the one it is compared with."""
        newest = after.newest
        is_back = after.canary is None and (newest == before.active or newest in before.earlier)
        if newest is None or is_back:
            return None
        return self._shown(newest), self._shown(after.proven)
