"""A program is made once, and again with every state that it is to answer with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy
import pytest

from agent_service.bootstrap.program import made_programs, program_makers
from agent_service.config import Settings
from agent_service.core.clock import SystemClock
from agent_service.core.observer import Observers
from agent_service.programs.fast.react import FastReAct
from agent_service.programs.loader import LoadError
from agent_service.programs.tools import SeamTool

if TYPE_CHECKING:
    from agent_service.programs.dspy_program import DspyProgram

CONFIGURING = """
import dspy
def make():
    dspy.configure(lm=dspy.LM("openai/mine"))
    return dspy.Predict("question -> answer")
"""


class Scene:
    """The built-in agent, or another program, and its maker."""

    def __init__(self, path: str = "builtin", **environ: str) -> None:
        settings = Settings.load(
            {"AGENT_RELEASES_PATH": "/nowhere", "AGENT_PROGRAM": path, **environ},
            dotenv_path=Path("/nowhere/.env"),
        )
        (self.maker,) = program_makers(settings, clock=SystemClock(), observer=Observers())
        self._settings = settings

    def make(self) -> DspyProgram:
        """The program as its code makes it."""
        return made_programs([self.maker], self._settings)[0]


def module_of(program: DspyProgram) -> Any:
    """What is served shows nowhere else."""
    return program._module  # noqa: SLF001 - as it says


def state(module: dspy.Module, instructions: str) -> bytes:
    """What an optimiser would leave of it."""
    copy = module.deepcopy()
    for _, predictor in copy.named_predictors():
        predictor.signature = predictor.signature.with_instructions(
            f"{predictor.signature.instructions}\n{instructions}"
        )
    return json.dumps({**copy.dump_state(), "metadata": {}}).encode()


async def test_a_version_is_the_program_with_another_state() -> None:
    """At the same seams, as fast, on the same models; the first one is as it was."""
    scene = Scene()
    program = scene.make()
    await program.start()
    module = module_of(program)
    saved = state(dspy.ReAct(*_parts_of(module)), "Be brief.")

    version = await scene.maker.make_version(saved)

    other = module_of(version)
    assert version.spec.version == hashlib.sha256(saved).hexdigest()[:12]
    assert version.spec.interface is program.spec.interface
    assert type(other) is FastReAct
    assert all(type(tool) is SeamTool for name, tool in other.tools.items() if name != "finish")
    assert "Be brief." in other.react.signature.instructions
    assert "Be brief." not in module.react.signature.instructions
    assert len(version.upstreams()) == len(program.upstreams()) == 1
    await program.close()


def _parts_of(module: Any) -> tuple[Any, list[dspy.Tool]]:
    return module.signature, [tool for name, tool in module.tools.items() if name != "finish"]


async def test_a_state_of_another_program_is_refused() -> None:
    """By its maker, before anything is changed."""
    scene = Scene()
    program = scene.make()
    await program.start()
    with pytest.raises(LoadError, match="is of another program"):
        await scene.maker.make_version(state(dspy.Predict("question -> answer"), ""))
    await program.close()


async def test_what_makes_a_program_is_called_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DSPy can be configured where it was configured first, and nowhere else."""
    (tmp_path / "configuring_program.py").write_text(CONFIGURING, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    before = dspy.settings.lm
    try:
        scene = Scene("configuring_program:make", AGENT_MODEL="offline")
        program = scene.make()
        await program.start()
        saved = state(dspy.Predict("question -> answer"), "Be brief.")
        one, two = await scene.maker.make_version(saved), await scene.maker.make_version(saved)
        assert module_of(one) is not module_of(two)
        await program.close()
    finally:
        dspy.configure(lm=before)


async def test_without_a_shelf_no_copy_is_kept() -> None:
    """What nobody asks for costs no memory."""
    scene = Scene(AGENT_RELEASES_PATH="")
    scene.make()
    with pytest.raises(RuntimeError, match="switched off"):
        await scene.maker.make_version(b"{}")
