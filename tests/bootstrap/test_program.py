"""The program that is served is the fast one, unless the settings say otherwise."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import dspy

from agent_service.bootstrap.program import build_program
from agent_service.config import Settings
from agent_service.core.clock import SystemClock
from agent_service.core.observer import Observers
from agent_service.programs.fast.predict import FastPredict
from agent_service.programs.fast.react import FastReAct

if TYPE_CHECKING:
    import pytest


def served(**environ: str) -> Any:
    """The module that is served with these settings."""
    program: Any = build_program(Settings.load(environ), clock=SystemClock(), observer=Observers())
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
