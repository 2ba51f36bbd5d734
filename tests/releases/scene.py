"""A program, a shelf with versions of it, and what makes them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from agent_service.core.messages import ConversationId, Usage
from agent_service.core.observer import QueryFinished
from agent_service.releases.base import ReleaseError
from agent_service.releases.folder import FolderShelf
from agent_service.testing import FakeClock, RecordingObserver, ScriptedProgram

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agent_service.programs.base import Program
    from agent_service.releases.base import Release
    from agent_service.releases.standing import Standing

PROGRAM = "scripted"
ADA = ConversationId("ada")


class FragileShelf(FolderShelf):
    """One that fails while ``is_broken``; ``looked`` is told of each look at a standing."""

    is_broken = False
    looked: Callable[[str], None] = staticmethod(lambda _: None)

    async def standing(self, program: str) -> Standing:
        """Look at once, without a thread."""
        self.looked(program)
        return self._ledger(program)[1]

    def _ledger(self, program: str) -> tuple[tuple[Release, ...], Standing]:
        if self.is_broken:
            raise OSError("the disk is gone")
        return super()._ledger(program)


class Scene:
    """What follows a shelf needs.

    Attributes:
        built: how often a version was made, by its mood.
    """

    def __init__(self, folder: Path, *, version: str | None = None) -> None:
        self.clock = FakeClock()
        self.shelf = FragileShelf(folder, clock=self.clock)
        self.observer = RecordingObserver()
        self.base = ScriptedProgram(spec=replace(ScriptedProgram().spec, version=version))
        self.built: list[str] = []

    async def add(self, mood: str) -> str:
        """A release; one whose mood is ``unfit`` cannot be made."""
        return (await self.shelf.add(PROGRAM, json.dumps({"mood": mood}).encode())).version

    async def build(self, state: bytes) -> Program:
        """The version with this state."""
        mood = json.loads(state)["mood"]
        self.built.append(mood)
        if mood == "unfit":
            raise ReleaseError("it does not fit")
        return ScriptedProgram(spec=replace(self.base.spec, version=mood))


def ended(version: str, code: str | None = None, *, may_blame_program: bool = False) -> QueryFinished:
    """A query that a version ran is over."""
    return QueryFinished(
        "r", "ada", "s", PROGRAM, "m", code, 0, (), Usage(), 0.1, stored=True, version=version,
        may_blame_program=may_blame_program,
    )  # fmt: skip
