"""The composition root's part for releases: the programs that are served, in the versions that stand."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from agent_service.bootstrap.program import made_programs, program_makers
from agent_service.bootstrap.shelf import open_shelf, state_check
from agent_service.config import options as options_of
from agent_service.programs.loader import LoadError
from agent_service.programs.served import ServedPrograms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from typing import Any

    from agent_service.bootstrap.program_maker import ProgramMaker
    from agent_service.bootstrap.shelf import OpenShelf
    from agent_service.config import Settings
    from agent_service.core.clock import Clock
    from agent_service.core.observer import Observers
    from agent_service.programs.dspy_program import DspyProgram
    from agent_service.releases.operator import ReleaseOperator

    Work = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Served:
    """The programs, and who changes their releases; ``background`` runs while the service does."""

    programs: ServedPrograms
    background: list[Work] = field(default_factory=list)
    release_operator: ReleaseOperator | None = None
    shelf: OpenShelf | None = None

    @asynccontextmanager
    async def closing(self) -> AsyncIterator[None]:
        """Within, the shelf may be used; after, it is closed."""
        try:
            yield
        finally:
            if self.shelf is not None:
                await self.shelf.close()


def build_served(settings: Settings, *, clock: Clock, observers: Observers) -> Served:
    """Wire the programs that the settings name, with their releases where there is a shelf.

    Raises:
        LoadError: when one cannot be served.
    """
    makers = program_makers(settings, clock=clock, observer=observers)
    programs = made_programs(makers, settings)
    shelf = open_shelf(settings, clock=clock)
    if shelf is None:
        return Served(ServedPrograms(programs))
    from agent_service.releases.operator import ReleaseOperator  # noqa: PLC0415 - as below
    from agent_service.releases.served import ServedReleases  # noqa: PLC0415 - most services have none

    releases = ServedReleases(
        {program: partial(_build, maker) for program, maker in zip(programs, makers, strict=True)},
        shelf=shelf.shelf,
        options=options_of.release_options(settings),
        clock=clock,
        observer=observers,
    )
    observers.add(releases)
    operator = ReleaseOperator(shelf=shelf.shelf, check=state_check(makers))
    return Served(ServedPrograms(programs, versions=releases), [releases.run], operator, shelf)


async def _build(maker: ProgramMaker, state: bytes) -> DspyProgram:
    """A version of a program.

    Raises:
        ReleaseError: it cannot be made of this state.
    """
    from agent_service.releases.base import ReleaseError  # noqa: PLC0415 - as above

    try:
        return await maker.make_version(state)
    except LoadError as error:
        raise ReleaseError(str(error)) from error
    except Exception as error:
        raise ReleaseError(f"{type(error).__name__}: {error}") from error
