from __future__ import annotations

import json

import pytest

from agent_service.core.observer import FallbackTaken, RunStarted, ToolFinished, ToolStarted
from agent_service.runtime.streams.steps import as_json, step_of


@pytest.mark.parametrize(
    ("event", "step"),
    [
        (RunStarted("r", "agent"), ("run.started", {"request_id": "r", "program": "agent"})),
        (
            ToolStarted("r", "clock", 2, {"zone": "UTC"}),
            ("tool.started", {"tool": "clock", "step": 2, "arguments": {"zone": "UTC"}}),
        ),
        (
            ToolFinished("r", "clock", 2, "timeout", 1.5),
            ("tool.finished", {"tool": "clock", "step": 2, "outcome": "timeout", "latency_ms": 1500}),
        ),
        (FallbackTaken("r", "a", "b"), None),
    ],
)
def test_followers_are_told_of_steps(event: RunStarted, step: tuple[str, dict[str, object]] | None) -> None:
    """Kinds and fields are public; events that are no steps of the run are not told."""
    assert step_of(event) == step


@pytest.mark.parametrize("text", ["two\nlines\r", "\u2028", "\ud800 half", "é"])
def test_data_is_one_line_of_utf_8(text: str) -> None:
    """A line break in it would forge an event; a text that UTF-8 cannot hold would break the stream."""
    line = as_json({"text": text})

    assert not set(line) & set("\r\n")
    assert json.loads(line.encode()) == {"text": text}
