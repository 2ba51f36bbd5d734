"""The programs of one service, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from agent_service.core.errors import NotFoundError
from agent_service.programs.base import VersionShare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from agent_service.core.messages import ConversationId, Query, Turn
    from agent_service.programs.base import LoadNumbers, Program, ProgramSpec, Upstream

T = TypeVar("T")


class Versions(Protocol):
    """Other states of the programs, which answer in their place."""

    async def start(self) -> None:
        """Make those ready that are to answer. The programs are started."""

    def answering(self, program: Program, conversation: ConversationId) -> Program:
        """What answers a conversation with ``program``: it, or another version of it."""

    def shares(self) -> Sequence[VersionShare]:
        """Which versions answer."""


class ServedPrograms:
    """At least one program; the first is the default. Started in order, closed in reverse.

    Args:
        programs: as they are in the code.
        versions: what answers in their place; None when they answer themselves.
    """

    def __init__(self, programs: Sequence[Program], *, versions: Versions | None = None) -> None:
        self.default = programs[0]
        self._programs = {program.spec.name: program for program in programs}
        self._versions = versions

    def __repr__(self) -> str:
        return f"<ServedPrograms {', '.join(self._programs)}>"

    @property
    def specs(self) -> tuple[ProgramSpec, ...]:
        """What each of them takes and gives, the default first."""
        return tuple(program.spec for program in self._programs.values())

    def named(self, name: str | None) -> Program:
        """The program of this name, the default for None.

        Raises:
            NotFoundError: there is none of this name.
        """
        if name is None:
            return self.default
        found = self._programs.get(name)
        if found is None:
            raise NotFoundError(f"No such program is served; there is {', '.join(self._programs)}.")
        return found

    def answering(self, query: Query) -> Program:
        """The version of the program that answers ``query``; a conversation keeps to one while it can.

        Raises:
            NotFoundError: there is no such program.
        """
        program = self.named(query.program)
        return self._versions.answering(program, query.conversation) if self._versions else program

    def shares(self) -> Sequence[VersionShare]:
        """Which versions answer, and how many of the conversations."""
        if self._versions is not None:
            return self._versions.shares()
        return [VersionShare(spec.name, spec.version_name, 1.0) for spec in self.specs]

    def turns_of(self, program: Program) -> Callable[[Turn], bool] | None:
        """Chooses the turns that a program may see: its own, and those of none; None where it is alone."""
        if len(self._programs) == 1:
            return None
        visible = {"", program.spec.name}
        return lambda turn: turn.program in visible

    async def start(self) -> None:
        """Start each."""
        for program in self._programs.values():
            await program.start()
        if self._versions is not None:
            await self._versions.start()

    async def close(self) -> None:
        """Close each; the first that fails does not keep the others open."""
        failure: Exception | None = None
        for program in reversed(self._programs.values()):
            try:
                await program.close()
            except Exception as error:  # noqa: BLE001 - raised below, once all are closed
                failure = failure or error
        if failure is not None:
            raise failure

    def upstreams(self) -> tuple[Upstream, ...]:
        """How their language models stand, each that several share once."""
        return _once(upstream for program in self._programs.values() for upstream in program.upstreams())

    def load(self) -> tuple[LoadNumbers, ...]:
        """How loaded each of them is."""
        return _once(numbers for program in self._programs.values() for numbers in program.load())

    def reset_upstreams(self) -> None:
        """Close all breakers by hand."""
        for program in self._programs.values():
            program.reset_upstreams()


def _once(found: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(found))
