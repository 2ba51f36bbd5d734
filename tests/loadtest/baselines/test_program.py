from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent_service.loadtest.baselines.program import language_model, served_program

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One without a ``.env``."""
    monkeypatch.chdir(tmp_path)


def test_it_is_the_built_in_agent_as_it_is_asked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same tools and fields, and the conversation of a user who has not asked before."""
    monkeypatch.setenv("AGENT_MAX_STEPS", "4")
    program, inputs = served_program()
    assert set(program.tools) == {"calculator", "current_time", "convert_units", "finish"}
    assert program.max_iters == 4
    assert inputs("2+2?") == {"question": "2+2?", "conversation": "(nothing yet)"}


def test_a_program_of_the_user_gets_its_own_inputs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By the name that its signature has for a question."""
    (tmp_path / "bench_subject.py").write_text("import dspy\nprogram = dspy.Predict('topic -> essay')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("AGENT_PROGRAM", "bench_subject:program")
    _, inputs = served_program()
    assert inputs("bees") == {"topic": "bees"}


def test_the_model_is_that_of_the_settings_and_is_asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """With DSPy's cache there would be nothing to measure."""
    monkeypatch.setenv("AGENT_MODEL", "openai/gpt-4o-mini")
    monkeypatch.setenv("AGENT_API_BASE", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("AGENT_API_KEY", "sk-x")
    lm = language_model()
    assert (lm.model, lm.cache) == ("openai/gpt-4o-mini", False)
    assert (lm.kwargs["api_base"], lm.kwargs["api_key"]) == ("http://127.0.0.1:1/v1", "sk-x")
