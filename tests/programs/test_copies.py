"""A copy is a program of its own, on the same models."""

from __future__ import annotations

import threading
from typing import Any

import dspy
import pytest

from agent_service.programs.copies import copied
from agent_service.programs.loader import LoadError


class Nested(dspy.Module):  # type: ignore[misc] # DSPy has no types
    """Predictors at several depths, a tool that is its own method, a model, and what nothing can copy."""

    def __init__(self) -> None:
        super().__init__()
        self.agent = dspy.ReAct("question -> answer", tools=[self.look_up])
        self.more = [dspy.Predict("question -> answer")]
        self.notes = {"seen": 0}
        self.helper = Helper(self)
        self.lock = threading.Lock()
        self.lm = self.agent.react.lm = dspy.LM("openai/mine")

    def look_up(self, word: str) -> str:
        """Look a word up, with a predictor of its own."""
        return f"{word}: {len(self.more[0].demos)}"


class Helper:
    """A part that knows the whole, and cannot be copied."""

    def __init__(self, module: dspy.Module) -> None:
        self.module = module
        self.lock = threading.Lock()


def predictors(module: dspy.Module) -> set[int]:
    """Which objects its predictors are."""
    return {id(predictor) for _, predictor in module.named_parameters()}


def test_a_copy_has_predictors_of_its_own() -> None:
    """Also within lists and in its tools; what one is told, the other does not know."""
    module = Nested()
    copy = copied(module)
    copy.more[0].demos = [dspy.Example(question="q", answer="a")]

    assert len(predictors(copy)) == len(predictors(module)) == 3
    assert not predictors(copy) & predictors(module)
    assert copy.agent.tools["look_up"](word="w") == "w: 1"
    assert module.agent.tools["look_up"](word="w") == "w: 0"


def test_what_it_has_noted_is_its_own() -> None:
    """Answers that one version remembers are not another's."""
    module = Nested()
    copy = copied(module)
    copy.notes["seen"] = 1
    assert module.notes == {"seen": 0}


def test_models_and_connections_are_shared() -> None:
    """A model's limit and breaker are the same whichever version asks; what cannot be copied is there."""
    module = Nested()
    copy = copied(module)
    assert copy.lm is copy.agent.react.lm is module.lm
    assert copy.lock is module.lock
    assert copy.helper is module.helper


def test_a_predictor_that_cannot_be_copied_is_refused() -> None:
    """A state of one would be that of both."""
    module = dspy.Module()
    mixed: list[Any] = [dspy.Predict("question -> answer"), threading.Lock()]
    module.mixed = mixed
    with pytest.raises(LoadError, match="cannot be copied"):
        copied(module)
