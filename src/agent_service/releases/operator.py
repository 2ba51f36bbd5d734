"""What an operator does with releases, whichever way it is asked for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent_service.releases.base import Release, ReleaseError, version_of
from agent_service.releases.standing import BASE, Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent_service.releases.base import Shelf

_ALL_PERCENT = 100
_MAX_NOTE_CHARS = 200


@dataclass(frozen=True, slots=True)
class Inventory:
    """What there is of one program, oldest first, and how it stands."""

    program: str
    releases: tuple[Release, ...]
    standing: Standing


class ReleaseOperator:
    """Adds releases, makes them active, and takes them back.

    Args:
        shelf: where they are kept.
        check: called in a thread with a program's name and a state before that is kept; raises
            ``ReleaseError`` when the program cannot be served with it.
    """

    def __init__(self, *, shelf: Shelf, check: Callable[[str, bytes], None]) -> None:
        self._shelf = shelf
        self._check = check

    def __repr__(self) -> str:
        return f"<ReleaseOperator of {self._shelf!r}>"

    async def add(self, program: str, state: bytes, *, note: str = "") -> Release:
        """Keep a state; what was added before is the same release, with its first note.

        Raises:
            ReleaseError: it is no state, too long, or not one of this program; or the note is no short line.
            OSError: the shelf cannot be reached.
        """
        if len(note) > _MAX_NOTE_CHARS or not note.isprintable():
            raise ReleaseError(f"a note has at most {_MAX_NOTE_CHARS} printable characters")
        version_of(state)
        await asyncio.to_thread(self._check, program, state)
        return await self._shelf.add(program, state, note=note)

    async def inventory(self, program: str) -> Inventory:
        """What there is of a program.

        Raises:
            ReleaseError: the list of its releases is damaged.
            OSError: the shelf cannot be reached.
        """
        releases = await self._shelf.releases(program)
        return Inventory(program, releases, await self._shelf.standing(program))

    async def activate(self, program: str, version: str, *, percent: float = _ALL_PERCENT) -> Inventory:
        """Let a version answer everybody, or ``percent`` of the conversations.

        Args:
            program: whose version it is.
            version: its name or the beginning of it, or ``base`` for the program without a release.
            percent: above 0, up to 100.

        Raises:
            ReleaseError: there is no such version, several begin so, or it answers everybody already.
            OSError: the shelf cannot be reached.
        """
        named = _named(program, version, await self._shelf.releases(program))

        def change(standing: Standing) -> Standing:
            return standing.activated(named) if percent >= _ALL_PERCENT else standing.trying(named, percent)

        return await self._changed(program, change)

    async def roll_back(self, program: str) -> Inventory:
        """End the canary; without one, make active again what was active before.

        Raises:
            ReleaseError: there is nothing to go back to.
            OSError: the shelf cannot be reached.
        """
        return await self._changed(program, Standing.rolled_back)

    async def _changed(self, program: str, change: Callable[[Standing], Standing]) -> Inventory:
        try:
            standing = await self._shelf.change(program, change)
        except ValueError as error:
            raise ReleaseError(f"{program}: {error}") from None
        return Inventory(program, await self._shelf.releases(program), standing)


def _named(program: str, version: str, releases: Sequence[Release]) -> str:
    """The one version that ``version`` begins."""
    versions = [release.version for release in releases]
    if version == BASE:
        return BASE
    found = [each for each in versions if version and each.startswith(version)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ReleaseError(f"{program} has several releases {version}...: {', '.join(found)}")
    raise ReleaseError(f"{program} has no release {version}; there are {', '.join([*versions, BASE])}")
