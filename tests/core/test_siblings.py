from __future__ import annotations

from agent_service.core.siblings import ALONE, Answers


async def test_who_is_alone_is_answered_by_nobody() -> None:
    """A single process takes the same steps as one of several, and waits for nothing."""
    assert not ALONE.are_there
    assert await ALONE.ask("anything", {}, within_seconds=60.0) == Answers(())
    ALONE.post("anything", {})
    ALONE.note({})
