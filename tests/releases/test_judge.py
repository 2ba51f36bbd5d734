from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent_service.releases.judge import Judge
from agent_service.releases.standing import BASE, Standing
from agent_service.releases.trial import TrialOptions

if TYPE_CHECKING:
    from collections.abc import Callable

OPTIONS = TrialOptions(margin=0.2, min_outcomes=3, window=6)
ONE = Standing().activated("v1")


def _judge(*standings: Standing, shown: Callable[[str], str] = str) -> Judge:
    """One that saw these standings, one after the other."""
    judge = Judge(OPTIONS, shown=shown)
    for before, after in zip((standings[0], *standings), standings, strict=False):
        judge.moved(before, after)
    return judge


def _end(judge: Judge, version: str, *, good: int = 0, failed: int = 0) -> None:
    for outcome in [False] * good + [True] * failed:
        judge.ended(version, failed=outcome)


@pytest.mark.parametrize(
    ("standings", "worse"),
    [
        ((Standing(), Standing().trying("v1", 5)), "v1"),
        ((Standing(), ONE), "v1"),
        ((ONE, ONE.trying(BASE, 5)), BASE),
        ((Standing().trying("v1", 5),), "v1"),
    ],
)
def test_what_is_new_is_on_trial(standings: tuple[Standing, ...], worse: str) -> None:
    """A canary, also one that is met at the start; and a version that has become active."""
    judge = _judge(*standings)
    _end(judge, worse, failed=3)
    assert judge.finds_worse()


@pytest.mark.parametrize(
    "standings",
    [
        (Standing(),),
        (ONE,),
        (ONE.activated("v2"), ONE),
        (ONE.activated("v2"), ONE.activated("v2").activated("v1")),
        (ONE.trying("v2", 5), ONE),
    ],
)
def test_what_was_there_before_is_not(standings: tuple[Standing, ...]) -> None:
    """A version that is active from the start, or comes back: one bad day must not undo all that was done."""
    judge = _judge(*standings)
    _end(judge, standings[-1].active, failed=6)
    assert not judge.finds_worse()


def test_it_is_compared_with_the_version_before() -> None:
    """What fails for both is not the new one's fault."""
    judge = _judge(Standing(), Standing().trying("v1", 50))
    _end(judge, BASE, failed=6)
    _end(judge, "v1", failed=6)
    assert not judge.finds_worse()


def test_an_active_version_has_passed_after_a_window() -> None:
    """What goes wrong much later has another cause; a canary never passes."""
    for standing, is_worse in [(Standing().activated("v1"), False), (Standing().trying("v1", 5), True)]:
        judge = _judge(Standing(), standing)
        _end(judge, "v1", good=6)
        assert not judge.finds_worse()
        _end(judge, "v1", failed=6)
        assert judge.finds_worse() is is_worse


def test_a_trial_goes_on_when_more_are_tried() -> None:
    """A larger share, or all: what is known counts. A second trial begins anew."""
    canary = Standing().trying("v1", 5)
    judge = _judge(Standing(), canary)
    _end(judge, "v1", failed=3)
    judge.moved(canary, Standing().trying("v1", 50))
    assert judge.finds_worse()
    judge.moved(Standing().trying("v1", 50), ONE)
    assert judge.finds_worse()

    judge.moved(ONE, Standing())
    judge.moved(Standing(), canary)
    assert not judge.finds_worse()


def test_versions_are_counted_as_answers_call_them() -> None:
    """A program that was started with a state is base on the shelf, and its state's version to callers."""
    judge = _judge(Standing(), Standing().trying("v1", 5), shown={"v1": "v1", BASE: "s0"}.__getitem__)
    _end(judge, "s0", failed=3)
    _end(judge, "v1", failed=3)
    assert not judge.finds_worse()

    same = _judge(Standing(), Standing().trying("s0", 5), shown={"s0": "s0", BASE: "s0"}.__getitem__)
    _end(same, "s0", failed=6)
    assert not same.finds_worse()
