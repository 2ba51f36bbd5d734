"""Retries: how long to wait, and when to give up."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_service.core.retry import RetryOptions, RetryPolicy


def policy(**options: Any) -> RetryPolicy:
    """A policy whose chance is the same each time."""
    return RetryPolicy(RetryOptions(**options), random=Random(0))


@given(
    retry=st.integers(1, 100),
    first=st.floats(0.001, 1.0),
    longest=st.floats(1.0, 100.0),
    seed=st.integers(0, 2**32),
)
def test_a_pause_is_jittered_below_its_ceiling(retry: int, first: float, longest: float, seed: int) -> None:
    """The pause lies between nothing and the doubled first one, never above the longest."""
    options = RetryOptions(max_retries=100, first_delay_seconds=first, max_delay_seconds=longest)
    pause = RetryPolicy(options, random=Random(seed)).pause_seconds(retry, remaining_seconds=1e9)
    assert pause is not None
    assert 0 <= pause <= min(longest, first * 2 ** (retry - 1))


def test_pauses_differ() -> None:
    """Callers that failed together do not come back together."""
    decisions = [policy(budget_cap=100.0) for _ in range(1)]
    pauses = {decisions[0].pause_seconds(1, remaining_seconds=30.0) for _ in range(20)}
    assert len(pauses) == 20


def test_no_retry_after_the_last() -> None:
    """``max_retries`` counts the attempts after the first."""
    decided = policy(max_retries=2)
    assert decided.pause_seconds(2, remaining_seconds=30.0) is not None
    assert decided.pause_seconds(3, remaining_seconds=30.0) is None
    assert policy(max_retries=0).pause_seconds(1, remaining_seconds=30.0) is None


@given(retry_after=st.floats(0, 20))
def test_the_upstream_s_word_is_a_floor(retry_after: float) -> None:
    """We wait at least as long as we were asked to."""
    pause = policy().pause_seconds(3, remaining_seconds=30.0, retry_after_seconds=retry_after)
    assert pause is not None
    assert pause >= retry_after


def test_a_pause_that_does_not_fit_is_none() -> None:
    """Nobody waits for a deadline; giving up costs nothing of the budget."""
    decided = policy(budget_cap=1.0)
    assert decided.pause_seconds(1, remaining_seconds=5.0, retry_after_seconds=5.0) is None
    assert decided.pause_seconds(1, remaining_seconds=0.0) is None
    assert decided.pause_seconds(1, remaining_seconds=5.0) is not None


def test_the_budget_is_spent_by_retries_and_earned_by_calls() -> None:
    """In the long run there is one retry for ``1 / budget_ratio`` calls, and no more than the cap at once."""
    decided = policy(budget_cap=2.0, budget_ratio=0.5)
    granted = [decided.pause_seconds(1, remaining_seconds=30.0) is not None for _ in range(3)]
    assert granted == [True, True, False]
    decided.first_attempt()
    assert decided.budget == 0.5
    assert decided.pause_seconds(1, remaining_seconds=30.0) is None
    decided.first_attempt()
    assert decided.pause_seconds(1, remaining_seconds=30.0) is not None


def test_the_budget_is_capped() -> None:
    """A quiet year does not pay for a storm."""
    decided = policy(budget_cap=2.0, budget_ratio=1.0)
    for _ in range(100):
        decided.first_attempt()
    assert repr(decided) == "<RetryPolicy 2.0 of 2 retries saved>"


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_retries": -1},
        {"first_delay_seconds": 0.0},
        {"first_delay_seconds": 5.0, "max_delay_seconds": 4.0},
        {"budget_ratio": -0.1},
        {"budget_cap": 0.5},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    """A wrong option is met at the start, not at the first failure."""
    with pytest.raises(ValueError, match="must"):
        RetryOptions(**wrong)
