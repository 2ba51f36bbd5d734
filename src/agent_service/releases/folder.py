"""A shelf in a folder: for one machine, or for several that share the folder."""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from agent_service.releases.base import Release, ReleaseError, version_of
from agent_service.releases.ledger import read_ledger, write_ledger
from agent_service.releases.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent_service.core.clock import Clock

_LEDGER = "releases.json"


class FolderShelf:
    """Each program has a folder: ``<version>.json`` for each state, and a ledger beside them.

    The ledger is replaced whole, under a lock, so a reader never sees half of it.

    Args:
        folder: made when something is added.
        clock: tells when releases were added.
    """

    def __init__(self, folder: Path, *, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    def __repr__(self) -> str:
        return f"<FolderShelf {self._folder}>"

    async def add(self, program: str, state: bytes, *, note: str = "") -> Release:
        """Keep a state; see ``Shelf.add``."""
        return await asyncio.to_thread(self._add, program, state, note)

    async def releases(self, program: str) -> tuple[Release, ...]:
        """All of a program; see ``Shelf.releases``."""
        return (await asyncio.to_thread(self._ledger, program))[0]

    async def state(self, program: str, version: str) -> bytes:
        """One state; see ``Shelf.state``."""
        return await asyncio.to_thread(self._state, program, version)

    async def standing(self, program: str) -> Standing:
        """How they stand; see ``Shelf.standing``."""
        return (await asyncio.to_thread(self._ledger, program))[1]

    async def change(self, program: str, change: Callable[[Standing], Standing]) -> Standing:
        """Change the standing; see ``Shelf.change``."""
        return await asyncio.to_thread(self._change, program, change)

    def _add(self, program: str, state: bytes, note: str) -> Release:
        version = version_of(state)
        with self._locked(program):
            releases, standing = self._ledger(program)
            known = next((release for release in releases if release.version == version), None)
            if known is not None:
                return known
            release = Release(version, self._clock.wall(), note)
            _replace(self._folder / program / f"{version}.json", state)
            self._write(program, (*releases, release), standing)
        return release

    def _state(self, program: str, version: str) -> bytes:
        if version not in {release.version for release in self._ledger(program)[0]}:
            raise ReleaseError(f"{program} has no release {version}")
        state = (self._folder / program / f"{version}.json").read_bytes()
        if version_of(state) != version:
            raise ReleaseError(f"release {version} of {program} was changed after it was added")
        return state

    def _change(self, program: str, change: Callable[[Standing], Standing]) -> Standing:
        with self._locked(program):
            releases, before = self._ledger(program)
            after = change(before)
            if after != before:
                self._write(program, releases, after)
        return after

    def _ledger(self, program: str) -> tuple[tuple[Release, ...], Standing]:
        try:
            ledger = (self._folder / program / _LEDGER).read_bytes()
        except FileNotFoundError:
            return (), Standing()
        return read_ledger(ledger)

    def _write(self, program: str, releases: tuple[Release, ...], standing: Standing) -> None:
        _replace(self._folder / program / _LEDGER, write_ledger(releases, standing))

    @contextmanager
    def _locked(self, program: str) -> Iterator[None]:
        """One process at a time; the lock ends with the process that holds it."""
        folder = self._folder / program
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _replace(path: Path, content: bytes) -> None:
    """Write whole or not at all, also when the machine stops meanwhile."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    written = Path(file.name)
    written.chmod(0o644)
    written.replace(path)
