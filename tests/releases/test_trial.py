from __future__ import annotations

import pytest

from agent_service.releases.trial import Trial, TrialOptions


def _trial(*, margin: float = 0.2, min_outcomes: int = 10) -> Trial:
    return Trial(TrialOptions(margin=margin, min_outcomes=min_outcomes, window=20))


def _end(trial: Trial, version: str, *, good: int, failed: int) -> None:
    for outcome in [False] * good + [True] * failed:
        trial.ended(version, failed=outcome)


def test_more_failures_than_the_margin_allows_are_worse() -> None:
    """The shares are compared, not the numbers."""
    trial = _trial()
    _end(trial, "old", good=18, failed=2)
    _end(trial, "new", good=6, failed=4)

    assert trial.is_worse("new", than="old")
    assert not trial.is_worse("old", than="new")


def test_a_version_is_not_judged_before_enough_is_known_of_it() -> None:
    """A first failure says nothing."""
    trial = _trial()
    _end(trial, "new", good=0, failed=9)

    assert not trial.is_worse("new", than="old")
    _end(trial, "new", good=0, failed=1)
    assert trial.is_worse("new", than="old")


def test_a_difference_within_the_margin_is_none() -> None:
    """An upstream that fails fails for both."""
    trial = _trial()
    _end(trial, "old", good=5, failed=5)
    _end(trial, "new", good=3, failed=7)

    assert not trial.is_worse("new", than="old")


def test_only_the_last_outcomes_count() -> None:
    """What failed long ago is forgotten."""
    trial = _trial()
    _end(trial, "new", good=0, failed=20)
    _end(trial, "new", good=20, failed=0)

    assert trial.failed_share("new") == 0


def test_a_trial_begins_with_nothing() -> None:
    """A version that is tried again is judged by what it does then; versions that are gone are forgotten."""
    trial = _trial()
    _end(trial, "new", good=0, failed=20)
    _end(trial, "old", good=0, failed=20)
    trial.begin("new")
    trial.keep(frozenset({"new"}))

    assert (trial.failed_share("new"), trial.failed_share("old")) == (0, 0)


@pytest.mark.parametrize(
    "options", [{"margin": 1.1}, {"margin": -0.1}, {"min_outcomes": 0}, {"min_outcomes": 30, "window": 20}]
)
def test_options_out_of_bounds_are_refused(options: dict[str, float]) -> None:
    """They are a mistake of the caller's."""
    with pytest.raises(ValueError, match="must be from"):
        TrialOptions(**options)  # type: ignore[arg-type] # whole numbers where they belong
