"""Rules of the values that travel."""

from __future__ import annotations

from agent_service.core.messages import DEFAULT_SESSION_ID, ConversationId, Usage


def test_usage_adds_up_field_by_field() -> None:
    """Several calls cost what each of them cost."""
    total = Usage(10, 2, 1) + Usage(5, 1, 1)
    assert total == Usage(prompt_tokens=15, completion_tokens=3, lm_calls=2)


def test_total_tokens_are_prompt_and_completion() -> None:
    """Calls are not tokens."""
    assert Usage(10, 2, 7).total_tokens == 12


def test_a_conversation_without_a_session_is_the_default_one() -> None:
    """A user who names no session always meets the same conversation, and no other one."""
    assert ConversationId("ann") == ConversationId("ann", DEFAULT_SESSION_ID)
    assert ConversationId("ann") != ConversationId("ann", "other")
