"""The program that is served is the fast one, unless the settings say otherwise."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import dspy
import pytest

from agent_service.bootstrap.program import build_programs
from agent_service.config import Settings
from agent_service.core.clock import SystemClock
from agent_service.core.observer import Observers
from agent_service.programs.fast.predict import FastPredict
from agent_service.programs.fast.react import FastReAct
from agent_service.programs.loader import LoadError

if TYPE_CHECKING:
    from pathlib import Path


def served(**environ: str) -> Any:
    """The module that is served with these settings."""
    program: Any = build_programs(Settings.load(environ), clock=SystemClock(), observer=Observers())[0]
    return program._module  # noqa: SLF001 - what is served shows nowhere else


def test_a_program_is_served_fast(caplog: pytest.LogCaptureFixture) -> None:
    """And the log says what was accelerated and what not."""
    with caplog.at_level(logging.INFO, "agent_service"):
        module = served()
    assert (type(module), type(module.react)) == (FastReAct, FastPredict)
    assert "accelerated: self, self.react" in caplog.text


def test_the_fast_path_can_be_switched_off() -> None:
    """Then it is DSPy's own program."""
    module = served(AGENT_FAST_PATH="off")
    assert (type(module), type(module.react)) == (dspy.ReAct, dspy.Predict)


def test_programs_on_one_model_share_its_breaker() -> None:
    """One model that fails is one upstream, whoever asks it; the default is the first that is named."""
    settings = Settings.load({"AGENT_PROGRAM": "one=builtin,two=builtin"})
    programs = build_programs(settings, clock=SystemClock(), observer=Observers())

    assert [program.spec.name for program in programs] == ["one", "two"]
    assert [len(program.upstreams()) for program in programs] == [1, 1]


def test_a_refusal_says_which_of_several_programs_it_is_about() -> None:
    """Of one alone it is plain."""
    settings = Settings.load({"AGENT_PROGRAM": "one=builtin,two=no_such:thing"})
    with pytest.raises(LoadError, match=r"^two: no_such cannot be imported"):
        build_programs(settings, clock=SystemClock(), observer=Observers())


def test_each_program_keeps_the_language_model_that_its_module_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DSPy itself keeps the last of them for all; again for a second service, which imports nothing anew."""
    source = (
        "import dspy\ndspy.configure(lm=dspy.LM('openai/{name}'))\nprogram = dspy.Predict('text -> label')"
    )
    for name in ("first_configured", "second_configured"):
        (tmp_path / f"{name}.py").write_text(source.format(name=name), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    before = dspy.settings.lm
    named = "a=first_configured:program,b=second_configured:program"
    try:
        for environ, models in (
            ({}, ["openai/first_configured", "openai/second_configured"]),
            ({"AGENT_MODEL": "offline"}, ["offline", "offline"]),
            ({}, ["openai/first_configured", "openai/second_configured"]),
        ):
            settings = Settings.load({"AGENT_PROGRAM": named, **environ})
            programs = build_programs(settings, clock=SystemClock(), observer=Observers())
            assert [program.spec.model for program in programs] == models
    finally:
        dspy.configure(lm=before)


def test_a_program_with_a_language_model_of_its_own_is_said_to_be_on_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``set_lm`` goes before the settings; where only some predictors have one, the others' counts."""
    source = """
import dspy
own = dspy.Predict('text -> label')
own.set_lm(dspy.LM('openai/own'))
class Mixed(dspy.Module):
    def __init__(self):
        self.first, self.second = dspy.Predict('text -> label'), dspy.Predict('text -> label')
        self.second.set_lm(dspy.LM('openai/own'))
    def forward(self, text):
        return self.second(text=self.first(text=text).label)
"""
    (tmp_path / "with_own_lm.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    settings = Settings.load({"AGENT_PROGRAM": "own=with_own_lm:own,mixed=with_own_lm:Mixed"})
    programs = build_programs(settings, clock=SystemClock(), observer=Observers())
    assert [program.spec.model for program in programs] == ["openai/own", "offline"]
