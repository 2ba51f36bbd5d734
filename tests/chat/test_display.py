"""What a person sees of an answer, and what a program that reads the output does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_service.chat.display import AnswerDisplay, text_of
from agent_service.chat.service import ChatEvent

if TYPE_CHECKING:
    import pytest

ANSWER: dict[str, Any] = {
    "answer": "391",
    "latency_ms": 1234,
    "reasoning_steps": 1,
    "usage": {"total_tokens": 450},
    "model": "offline",
    "stored": True,
    "degraded": [],
}
STEPS = [
    ("tool.started", {"tool": "calculator", "step": 1, "arguments": {"expression": "17 * 23"}}),
    ("tool.finished", {"tool": "calculator", "step": 1, "outcome": "success", "latency_ms": 2}),
]


def _shown(
    capsys: pytest.CaptureFixture[str], *events: tuple[str, dict[str, Any]], watched: bool = True
) -> str:
    display = AnswerDisplay(watched=watched)
    for kind, data in events:
        display.show(ChatEvent(kind, data))
    return capsys.readouterr().out


def test_steps_then_text_then_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """A person sees what was done with which arguments, the answer once, and what it took."""
    deltas = [("answer.delta", {"text": "39"}), ("answer.delta", {"text": "1"})]

    shown = _shown(capsys, *STEPS, *deltas, ("answer", ANSWER))

    assert shown.splitlines() == [
        '  ✓ calculator(expression="17 * 23")  2 ms',
        "391",
        "  1.2 s, 1 step, 450 tokens, offline",
    ]


def test_nobody_watches_so_the_answer_is_all(capsys: pytest.CaptureFixture[str]) -> None:
    """What reads the output of a pipe gets the answer and nothing else."""
    delta = ("answer.delta", {"text": "3"})

    assert _shown(capsys, *STEPS, delta, ("answer", ANSWER), watched=False) == "391\n"


def test_an_answer_that_begins_anew_is_not_mixed_with_the_one_before(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The person is told, and the whole answer stands on lines of its own."""
    shown = _shown(
        capsys,
        ("answer.delta", {"text": "no"}),
        ("answer.reset", {}),
        ("answer.delta", {"text": "391"}),
        ("answer", ANSWER),
    )

    assert shown.splitlines()[:3] == ["no", "  (the model begins its answer anew)", "391"]


def test_what_failed_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    """A tool's timeout and a model's failed attempt are steps too; a success of the model is none."""
    failed = {"tool": "clock", "step": 1, "outcome": "timeout", "latency_ms": 20000}
    call = {"model": "m", "attempt": 1, "outcome": "error", "latency_ms": 5}
    shown = _shown(
        capsys,
        ("tool.started", {"tool": "clock", "step": 1, "arguments": {}}),
        ("tool.finished", failed),
        ("lm.finished", call),
        ("lm.finished", {**call, "outcome": "success"}),
    )

    assert shown.splitlines() == ["  ✗ clock()  timeout, 20.0 s", "  ✗ m: error, 5 ms"]


def test_what_the_answer_lacks_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """An answer that is not stored, or was given without memory, is not passed off as any other."""
    shown = _shown(capsys, ("answer", {**ANSWER, "stored": False, "degraded": ["memory"]}))

    assert shown.splitlines()[-1].endswith("offline, not stored, without memory")


def test_long_arguments_are_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    """One step is one line."""
    started = ("tool.started", {"tool": "t", "step": 1, "arguments": {"text": "x" * 500}})
    finished = ("tool.finished", {"tool": "t", "step": 1, "outcome": "success", "latency_ms": 1})

    assert len(_shown(capsys, started, finished)) < 150


def test_outputs_by_name_are_told() -> None:
    """The only one as a text, without the reasoning before it; several on lines of their own."""
    assert text_of({"outputs": {"reasoning": "why", "reply": "Hello"}}) == "Hello"
    assert text_of({"outputs": {"label": "good", "score": [1, None]}}) == "label: good\nscore: [1, null]"
    assert text_of({"outputs": {"score": 3}}) == "score: 3"
    assert text_of({"answer": "4"}) == "4"
