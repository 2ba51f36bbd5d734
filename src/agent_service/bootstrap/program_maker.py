"""The composition root's part for one program: the module that is served, and versions of it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from agent_service.programs.copies import copied
from agent_service.programs.default_agent import WARM_UP
from agent_service.programs.dspy_program import DspyProgram
from agent_service.programs.fast import accelerate
from agent_service.programs.fields import fields_of
from agent_service.programs.seams import SeamTaker
from agent_service.programs.specs import spec_of
from agent_service.programs.state import load_state, read_state

if TYPE_CHECKING:
    import dspy

    from agent_service.config import Settings
    from agent_service.programs.base import NamedProgram, ProgramSpec
    from agent_service.programs.fields import Fields
    from agent_service.programs.shared_parts import SharedParts
    from agent_service.programs.tools import ToolSeam

_log = logging.getLogger(__name__)


class ProgramMaker:
    """Makes a program, and the same with other states; all of them share ``parts``.

    Args:
        named: which program.
        module: as its code makes it.
        lm: the LM for predictors that name none, at the seam already.
        parts: what the programs of one service have in common.
        tools: the seam of the tools.
        settings: what is served.
    """

    def __init__(
        self,
        named: NamedProgram,
        module: dspy.Module,
        *,
        lm: dspy.LM,
        parts: SharedParts,
        tools: ToolSeam,
        settings: Settings,
    ) -> None:
        self._named = named
        self._module = module
        self._lm = lm
        self._parts = parts
        self._tools = tools
        self._settings = settings
        self._untouched: dspy.Module | None = None
        self._base: tuple[ProgramSpec, Fields] | None = None

    def __repr__(self) -> str:
        return f"<ProgramMaker of {self._named.name}>"

    def make(self) -> DspyProgram:
        """The program with the state that the settings name, if any. To be called once, and first.

        Raises:
            LoadError: it cannot be served.
        """
        name, path, module = self._named.name, self._named.state, self._module
        if self._settings.agent_releases_path is not None:
            self._untouched = copied(module)
        version = None if path is None else load_state(module, read_state(path), source=path)
        taker = self._taken(module)
        fields = fields_of(module)
        spec = spec_of(name, _lm_of(module, self._lm).model, fields, taker.tool_names, version)
        self._base = spec, fields
        program = self._program(module, spec, fields)
        _log.info("fast path of %s: %s", name, program.acceleration or "off")
        if not spec.is_plain:
            _log.info("%s takes no plain question: it is asked at /api/v1/programs/%s/query", name, name)
        return program

    async def make_version(self, state: bytes) -> DspyProgram:
        """The program that was made, with another state; started.

        Its fields are those of the first: a state changes prompts, not what callers send and get.

        Raises:
            LoadError: the state is not of this program.
        """
        program = await asyncio.to_thread(self._version, state)
        await self._parts.upstreams.warm()
        await program.start()
        return program

    @property
    def name(self) -> str:
        """Under which the program is served."""
        return self._named.name

    def check(self, state: bytes) -> None:
        """Return when the program, once it is made, could take ``state``. Not in the event loop.

        Raises:
            LoadError: the state is not of this program.
        """
        self._with_state(state)

    def _version(self, state: bytes) -> DspyProgram:
        """In a thread: to copy, check and compile what a program holds takes long for the event loop."""
        if self._base is None:
            raise RuntimeError("no program was made of which this is to be a version")
        spec, fields = self._base
        module, version = self._with_state(state)
        self._taken(module)
        return self._program(module, replace(spec, version=version), fields)

    def _with_state(self, state: bytes) -> tuple[dspy.Module, str]:
        if self._untouched is None:
            raise RuntimeError("releases are switched off, or no program was made")
        module = copied(self._untouched)
        return module, load_state(module, state, source="the release")

    def _taken(self, module: dspy.Module) -> SeamTaker:
        taker = SeamTaker(upstreams=self._parts.upstreams, tools=self._tools)
        taker.take(module)
        return taker

    def _program(self, module: dspy.Module, spec: ProgramSpec, fields: Fields) -> DspyProgram:
        settings, named = self._settings, self._named
        acceleration = accelerate(module) if settings.agent_fast_path == "on" else None
        is_our_own = named.path is None and not settings.agent_tools and settings.agent_mcp_servers is None
        return DspyProgram(
            module,
            lm=_lm_of(module, self._lm),
            spec=spec,
            fields=fields,
            parts=self._parts,
            acceleration=acceleration,
            warm_up=WARM_UP if is_our_own and not acceleration else None,
        )


def _lm_of(module: dspy.Module, otherwise: dspy.LM) -> dspy.LM:
    """The one LM that all its predictors were given by its code, if they were."""
    first, *others = [predictor.lm for predictor in module.predictors()] or [None]
    return otherwise if first is None or any(other is not first for other in others) else first
