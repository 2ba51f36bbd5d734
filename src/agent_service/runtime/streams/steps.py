"""The steps of a run as its followers see them: the kind of each event, and what it tells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agent_service.core.observer import (
    LMCallFinished,
    LMCallStarted,
    RunStarted,
    ToolFinished,
    ToolStarted,
)

if TYPE_CHECKING:
    from agent_service.core.observer import Event


def step_of(event: Event) -> tuple[str, dict[str, Any]] | None:
    """The kind and the data of ``event``, or None when followers are not told of it."""
    match event:
        case RunStarted():
            return "run.started", {"request_id": event.request_id, "program": event.program}
        case LMCallStarted():
            return "lm.started", {"model": event.model, "attempt": event.attempt}
        case LMCallFinished():
            return "lm.finished", _finished_call(event)
        case ToolStarted():
            arguments = dict(event.arguments or {})
            return "tool.started", {"tool": event.tool, "step": event.step, "arguments": arguments}
        case ToolFinished():
            return "tool.finished", {
                "tool": event.tool,
                "step": event.step,
                "outcome": event.outcome,
                "latency_ms": round(event.latency_seconds * 1000),
            }
        case _:
            return None


def as_json(data: dict[str, Any]) -> str:
    """``data`` on one line that UTF-8 can hold: halves of surrogate pairs are escaped."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(data, separators=(",", ":"))
    return text


def _finished_call(event: LMCallFinished) -> dict[str, Any]:
    return {
        "model": event.model,
        "attempt": event.attempt,
        "outcome": event.outcome,
        "latency_ms": round(event.latency_seconds * 1000),
        "prompt_tokens": event.usage.prompt_tokens,
        "completion_tokens": event.usage.completion_tokens,
    }
