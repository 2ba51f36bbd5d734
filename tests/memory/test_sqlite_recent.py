from __future__ import annotations

from dataclasses import replace

import pytest

from agent_service.core.messages import ConversationId, StoredTurn, Turn
from agent_service.memory.sqlite_recent import Head, RecentTurns

HERE = ConversationId("ann", "s")
HEAD = Head(row_id=7, first_seq=1, last_seq=3, expires_at_epoch_seconds=100.0)


def stored(seq: int, *, answer: str = "a") -> StoredTurn:
    """A turn at ``seq``."""
    return StoredTurn(Turn(f"turn-{seq}", "q", answer, 0.0), seq, seq - 1)


def knowing(*seqs: int, limit: int = 3) -> RecentTurns:
    """What knows the turns with ``seqs`` of ``HERE`` as it is at ``HEAD``."""
    recent = RecentTurns()
    recent.note(HERE, HEAD, tuple(map(stored, seqs)), limit)
    return recent


def test_what_was_noted_is_found() -> None:
    """The turns that are asked for, though more are known."""
    recent = knowing(1, 2, 3)
    assert recent.find(HERE, HEAD, range(1, 4)) == (stored(1), stored(2), stored(3))
    assert recent.find(HERE, HEAD, range(3, 4)) == (stored(3),)


def test_older_turns_than_were_noted_are_not_known() -> None:
    """None rather than some of them."""
    assert knowing(2, 3).find(HERE, HEAD, range(1, 4)) == ()


@pytest.mark.parametrize(
    "other", [{"row_id": 8}, {"first_seq": 2}, {"last_seq": 4}, {"expires_at_epoch_seconds": 101.0}]
)
def test_nothing_is_known_of_another_row(other: dict[str, int]) -> None:
    """Whoever changed the conversation changed its row."""
    assert knowing(1, 2, 3).find(HERE, replace(HEAD, **other), range(3, 4)) == ()


def test_nothing_is_known_of_another_conversation() -> None:
    """Not even of the same user."""
    assert knowing(1, 2, 3).find(ConversationId("ann", "t"), HEAD, range(3, 4)) == ()


def test_a_turn_that_is_added_is_known() -> None:
    """With as many before it as were asked for."""
    recent, after = knowing(1, 2, 3), replace(HEAD, last_seq=4)
    recent.append(HERE, HEAD, after, stored(4))
    assert recent.find(HERE, after, range(2, 5)) == (stored(2), stored(3), stored(4))
    assert recent.find(HERE, after, range(1, 5)) == ()


def test_a_turn_is_added_to_nothing_else_than_it_came_behind() -> None:
    """Another process may have added one between."""
    recent, before, after = knowing(1, 2, 3), replace(HEAD, last_seq=4), replace(HEAD, last_seq=5)
    recent.append(HERE, before, after, stored(5))
    assert recent.find(HERE, after, range(5, 6)) == ()


@pytest.mark.parametrize(("user_id", "session_id"), [("ann", "s"), ("ann", None)])
def test_what_is_erased_is_forgotten(user_id: str, session_id: str | None) -> None:
    """One conversation, or all of a user's."""
    recent = knowing(1, 2, 3)
    recent.forget(user_id, session_id)
    assert repr(recent) == "<RecentTurns of 0 conversations>"


@pytest.mark.parametrize(("user_id", "session_id"), [("ann", "t"), ("bob", None)])
def test_what_others_erase_is_not_forgotten(user_id: str, session_id: str | None) -> None:
    """Neither another conversation of the user nor that of another one."""
    recent = knowing(1, 2, 3)
    recent.forget(user_id, session_id)
    assert recent.find(HERE, HEAD, range(3, 4)) == (stored(3),)


def test_long_turns_are_not_kept() -> None:
    """However long answers are, what is kept stays small."""
    recent = knowing(1, 2, 3)
    recent.note(HERE, HEAD, (stored(3, answer="a" * 8192),), 3)
    assert recent.find(HERE, HEAD, range(3, 4)) == ()


def test_only_the_conversations_used_last_are_known() -> None:
    """However many there are."""
    recent = knowing(1, 2, 3)
    for number in range(1024):
        recent.note(ConversationId(str(number)), HEAD, (stored(3),), 3)
    assert recent.find(HERE, HEAD, range(3, 4)) == ()
    assert recent.find(ConversationId("0"), HEAD, range(3, 4)) == (stored(3),)
