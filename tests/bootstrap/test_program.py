"""The program that is served is the fast one, unless the settings say otherwise."""

from __future__ import annotations

import logging
from typing import Any

import dspy
import pytest

from agent_service.bootstrap.program import build_programs
from agent_service.config import Settings
from agent_service.core.clock import SystemClock
from agent_service.core.observer import Observers
from agent_service.programs.fast.predict import FastPredict
from agent_service.programs.fast.react import FastReAct
from agent_service.programs.loader import LoadError


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
