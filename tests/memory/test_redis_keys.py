"""Names and turns as Redis holds them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_service.core.messages import ConversationId, StoredTurn, Turn
from agent_service.memory.base import IdempotencyKey, RecordUnusableError
from agent_service.memory.redis_keys import (
    conversation_keys,
    decode_turn,
    encode_turn,
    lease_key,
    milliseconds,
    record_keys,
    record_name,
    records_key,
    sessions_key,
)

_texts = st.text(st.characters())
_turns = st.builds(
    Turn, _texts, _texts, _texts, st.floats(allow_nan=False, allow_infinity=False), _texts, _texts
)


@given(_turns, st.integers(0, 2**80))
def test_any_turn_comes_back(turn: Turn, base_seq: int) -> None:
    """With the place that Redis wrote into it: surrogates, even in pairs, and every float survive."""
    stored = b'{"seq":7,' + encode_turn(turn, base_seq)[1:]

    assert decode_turn(stored) == StoredTurn(turn, 7, base_seq)


def test_surrogates_in_pairs_stay_two() -> None:
    """They are not the character that the pair stands for in UTF-16."""
    turn = Turn("t", "\ud83d\ude42", "🙂", 0.0)
    assert decode_turn(b'{"seq":1,' + encode_turn(turn, 0)[1:]).turn == turn


@pytest.mark.parametrize("at", [float("nan"), float("inf")])
def test_a_time_that_json_does_not_know_is_refused(at: float) -> None:
    """It would come back as something else."""
    with pytest.raises(RecordUnusableError):
        encode_turn(Turn("t", "q", "a", at), 0)


@given(_texts, _texts, _texts, _texts)
def test_other_ids_have_other_keys(user: str, session: str, other_user: str, other_session: str) -> None:
    """However the two are cut and joined."""
    here, there = ConversationId(user, session), ConversationId(other_user, other_session)
    assert (conversation_keys(here) == conversation_keys(there)) == (here == there)


def test_what_belongs_together_is_in_one_slot() -> None:
    """One pair of braces for a conversation and its lease, one for a principal's records."""
    conversation = ConversationId("user", "session")
    record = record_keys("user", record_name(IdempotencyKey("user", "key")))

    tags = [
        {re.fullmatch(r"agsv:1:(\{[a-z2-7]{52}\}):.*", key)[1] for key in keys}  # type: ignore[index] # they match
        for keys in (
            (*conversation_keys(conversation), lease_key(conversation)),
            (*record, records_key("user")),
            (sessions_key("user"),),
        )
    ]

    assert [len(tag) for tag in tags] == [1, 1, 1]
    assert len(set.union(*tags)) == 3


def test_a_time_to_live_is_never_nothing() -> None:
    """Redis takes zero for an order to remove the key, or refuses it."""
    assert [milliseconds(seconds) for seconds in (1e-9, 0.0015, 2.0)] == [1, 1, 2000]
