"""Steps from a query's events."""

from __future__ import annotations

from agent_service.core.observer import ToolFinished, ToolStarted
from agent_service.testing import ToolStep
from agent_service.testing.answers import steps_of


def test_a_step_that_did_not_end_was_stopped() -> None:
    """Calls at once may end in another order than they began."""
    events = [
        ToolStarted("r", "slow", 1, {"x": 1}),
        ToolStarted("r", "quick", 2),
        ToolFinished("r", "quick", 2, "timeout", 0.1),
    ]
    assert steps_of(events) == (ToolStep("slow", {"x": 1}, "stopped"), ToolStep("quick", {}, "timeout"))
