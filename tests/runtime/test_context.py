"""How much of a conversation a program is shown."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_service.core.messages import Turn
from agent_service.runtime.context import LEAST_BUDGET_TOKENS, MARK, shortened, within_budget

CHARS_PER_TOKEN = 4
CLUSTERS = [
    "a",
    " ",
    "é",
    "e\u0301",
    "👍🏽",
    "👩‍👩‍👧‍👦",
    "🇦🇹",
    "❤\ufe0f",
    "1\ufe0f\u20e3",
    "\r\n",
    "한",
    "\u1112\u1161\u11ab",
    "क्षि",
    "นี่",
    "\ud83d\ude00",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
]
LENGTHS = st.integers(0, 900)


def _turns(*lengths: tuple[int, int]) -> list[Turn]:
    return [Turn(f"t{n}", "q" * asked, "a" * said, 0.0) for n, (asked, said) in enumerate(lengths)]


def _size(*turns: Turn) -> int:
    return sum(len(turn.question) + len(turn.answer) for turn in turns)


@given(st.lists(st.tuples(LENGTHS, LENGTHS), max_size=12), st.integers(LEAST_BUDGET_TOKENS, 1000))
def test_the_budget_is_kept(lengths: list[tuple[int, int]], budget_tokens: int) -> None:
    """Never longer than allowed, always the newest, nothing between two that are shown is left out."""
    turns = _turns(*lengths)

    shown = within_budget(turns, budget_tokens)

    assert _size(*shown) <= budget_tokens * CHARS_PER_TOKEN
    assert [turn.turn_id for turn in shown] == [turn.turn_id for turn in turns[len(turns) - len(shown) :]]
    assert bool(shown) == bool(turns)


@given(st.lists(st.tuples(LENGTHS, LENGTHS), max_size=12), st.integers(LEAST_BUDGET_TOKENS, 1000))
def test_what_fits_is_unchanged(lengths: list[tuple[int, int]], budget_tokens: int) -> None:
    """Shortened is only what has to be."""
    turns = _turns(*lengths)

    shown = within_budget(turns, budget_tokens)

    assert (_size(*turns) <= budget_tokens * CHARS_PER_TOKEN) == (list(shown) == turns)


@given(st.lists(st.tuples(LENGTHS, LENGTHS), max_size=12), st.integers(LEAST_BUDGET_TOKENS, 1000))
def test_newer_turns_are_fuller(lengths: list[tuple[int, int]], budget_tokens: int) -> None:
    """No turn was shortened for the sake of an older one that has more than it."""
    turns = {turn.turn_id: turn for turn in _turns(*lengths)}
    for older, newer in pairwise(within_budget(list(turns.values()), budget_tokens)):
        assert newer == turns[newer.turn_id] or _size(newer) >= _size(older)


def test_the_budget_is_used() -> None:
    """Small turns do not keep what long ones need: one long answer among short ones has nearly all."""
    shown = within_budget(_turns((5, 5), (5, 5000), (5, 5)), 250)

    assert _size(*shown) == 1000
    assert _size(shown[0]) == _size(shown[2]) == 10


def test_a_budget_too_small_is_taken_for_the_least() -> None:
    """The newest turn is always there, and readable."""
    [shown] = within_budget(_turns((5000, 5000)), 1)

    assert _size(shown) == LEAST_BUDGET_TOKENS * CHARS_PER_TOKEN


def test_a_long_question_does_not_push_out_its_answer() -> None:
    """Both are shortened, to the same length."""
    [shown] = within_budget(_turns((5000, 5000)), 250)

    assert len(shown.question) == len(shown.answer) == 500
    assert MARK in shown.question
    assert MARK in shown.answer


def test_oldest_turns_go_when_too_little_of_them_would_be_left() -> None:
    """A few letters of a turn say nothing."""
    shown = within_budget(_turns(*[(1000, 1000)] * 10), 100)

    assert [(turn.turn_id, _size(turn)) for turn in shown] == [("t8", 100), ("t9", 200)]


@given(st.lists(st.sampled_from(CLUSTERS), min_size=1), st.integers(len(MARK), 80))
def test_no_visible_character_is_torn(clusters: list[str], limit_chars: int) -> None:
    """What is left of a text begins and ends where a visible character does."""
    text = "".join(clusters)
    short = shortened(text, limit_chars)
    if short == text:
        return

    head, _, tail = short.partition(MARK)

    assert len(short) <= limit_chars < len(text)
    assert head in {"".join(clusters[:end]) for end in range(len(clusters) + 1)}
    assert tail in {"".join(clusters[start:]) for start in range(len(clusters) + 1)}


@pytest.mark.parametrize(("limit_chars", "short"), [(26, None), (25, "abcdefghij […] qrstuvwxyz"), (5, MARK)])
def test_the_middle_is_left_out(limit_chars: int, short: str | None) -> None:
    """Begin and end of a text say most about it."""
    text = "abcdefghijklmnopqrstuvwxyz"
    assert shortened(text, limit_chars) == (short or text)
