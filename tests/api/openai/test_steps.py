from __future__ import annotations

from agent_service.api.openai.steps import used


def test_a_step_is_one_line() -> None:
    """Arguments as JSON; a step without any is told so, one of which they are not known by its name."""
    assert used("search", {"for": "a\nbé", "top": 3}) == 'Used search(for="a\\nbé", top=3).'
    assert used("clock", {}) == "Used clock()."
    assert used("clock") == "Used clock."
