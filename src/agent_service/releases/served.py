"""Follows a shelf: what stands there answers here, about a second later."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent_service.core.clock import sleep
from agent_service.core.observer import QueryFinished, ReleaseRolledBack
from agent_service.releases.base import ReleaseError
from agent_service.releases.judge import Judge
from agent_service.releases.standing import Standing
from agent_service.releases.trial import TrialOptions
from agent_service.releases.versions import ProgramVersions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent_service.core.clock import Clock
    from agent_service.core.messages import ConversationId
    from agent_service.core.observer import Event, Observer
    from agent_service.programs.base import Program, VersionShare
    from agent_service.releases.base import Shelf
    from agent_service.releases.versions import Build

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReleaseOptions:
    """How releases are followed.

    Attributes:
        poll_seconds: how often the shelf is looked at.
        trial: when a new version is worse than the one before it, and taken back.
    """

    poll_seconds: float = 1.0
    trial: TrialOptions = field(default_factory=TrialOptions)

    def __post_init__(self) -> None:
        if not self.poll_seconds > 0:
            raise ValueError("poll_seconds must be positive")


class ServedReleases:
    """The versions that answer for the programs, as the shelf has them; and the trial of each new one.

    A shelf that fails changes nothing: what answers goes on, and it is looked at again.

    Args:
        builds: how versions are made, by the program that they are of.
        shelf: where they come from.
        options: how they are followed.
        clock: says when to look.
        observer: told of versions that are refused or taken back.
    """

    def __init__(
        self,
        builds: Mapping[Program, Build],
        *,
        shelf: Shelf,
        options: ReleaseOptions,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._versions = {
            base.spec.name: ProgramVersions(base, shelf=shelf, build=build, observer=observer)
            for base, build in builds.items()
        }
        self._judges = {
            name: Judge(options.trial, shown=versions.shown) for name, versions in self._versions.items()
        }
        self._shelf = shelf
        self._options = options
        self._clock = clock
        self._observer = observer
        self._failing: set[str] = set()

    def __repr__(self) -> str:
        return f"<ServedReleases {list(self._versions.values())}>"

    async def start(self) -> None:
        """Make those ready that are to answer. The programs are started."""
        await self.look()

    async def run(self) -> None:
        """Look at the shelf again and again until cancelled."""
        while True:
            await sleep(self._clock, self._options.poll_seconds)
            await self.look()

    def answering(self, program: Program, conversation: ConversationId) -> Program:
        """The version of ``program`` that answers a conversation."""
        return self._versions[program.spec.name].answering(conversation)

    def shares(self) -> tuple[VersionShare, ...]:
        """Which versions answer."""
        return tuple(share for versions in self._versions.values() for share in versions.shares())

    def observe(self, event: Event) -> None:
        """Count how a query has ended, unless that says nothing of its program."""
        if type(event) is QueryFinished and (event.code is None or event.may_blame_program):
            judge = self._judges.get(event.program)
            if judge is not None:
                judge.ended(event.version, failed=event.code is not None)

    async def look(self) -> None:
        """Follow the shelf once, and take back what is worse; a failure is told as it begins and ends."""
        for name, versions in self._versions.items():
            try:
                await self._look(versions)
            except Exception as error:  # noqa: BLE001 - whatever the shelf fails with, queries go on
                if name not in self._failing:
                    _log.error("releases of %s cannot be read: %s: %s", name, type(error).__name__, error)
                self._failing.add(name)
            else:
                if name in self._failing:
                    _log.warning("releases of %s can be read again", name)
                self._failing.discard(name)

    async def _look(self, versions: ProgramVersions) -> None:
        standing = await self._shelf.standing(versions.name)
        if standing == Standing() and versions.wanted not in {None, standing}:
            await self._check_not_lost(versions.name)
        await self._follow(versions, standing)
        if self._judges[versions.name].finds_worse() and versions.in_force == standing:
            await self._roll_back(versions, standing)

    async def _check_not_lost(self, program: str) -> None:
        """A shelf without anything is no reason to take everything back."""
        if not await self._shelf.releases(program):
            raise ReleaseError(f"those of {program} are gone")

    async def _follow(self, versions: ProgramVersions, standing: Standing) -> None:
        before, is_first = versions.in_force, versions.wanted is None
        await versions.follow(standing)
        after = versions.in_force
        if after != before or is_first:
            self._judges[versions.name].moved(after if is_first else before, after)
            shares = ", ".join(f"{each.version} {each.share:.0%}" for each in versions.shares())
            _log.info("%s is answered by %s", versions.name, shares)

    async def _roll_back(self, versions: ProgramVersions, judged: Standing) -> None:
        """Unless somebody else has changed the standing that was judged."""
        was_judged = False

        def back(standing: Standing) -> Standing:
            nonlocal was_judged
            was_judged = standing == judged
            return standing.rolled_back() if was_judged else standing

        found = str(self._judges[versions.name])
        after = await self._shelf.change(versions.name, back)
        if was_judged:
            worse, to = versions.shown(judged.newest or judged.active), versions.shown(after.active)
            _log.warning(
                "%s: version %s fails more often and was taken back, %s answers (failed: %s)",
                versions.name, worse, to, found,
            )  # fmt: skip
            self._observer.observe(ReleaseRolledBack("", versions.name, worse, to))
        await self._follow(versions, after)
