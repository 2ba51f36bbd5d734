from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent_service.releases.standing import BASE, Standing

VERSIONS = st.sampled_from(["v1", "v2", "v3"])
PERCENTS = st.floats(0, 100)
IDS = st.text(max_size=8)


class StandingMachine(RuleBasedStateMachine):
    """A list of what was active is the model."""

    def __init__(self) -> None:
        super().__init__()
        self.standing = Standing()
        self.active = [BASE]
        self.canary: str | None = None

    @rule(version=VERSIONS)
    def activate(self, version: str) -> None:
        self.standing = self.standing.activated(version)
        if version != self.active[-1]:
            self.active.append(version)
        self.canary = None

    @rule(version=VERSIONS, percent=PERCENTS)
    def try_out(self, version: str, percent: float) -> None:
        if version == self.active[-1]:
            with pytest.raises(ValueError, match="active already"):
                self.standing.trying(version, percent)
        else:
            self.standing = self.standing.trying(version, percent)
            self.canary = version

    @precondition(lambda self: self.canary is not None or len(self.active) > 1)
    @rule()
    def roll_back(self) -> None:
        self.standing = self.standing.rolled_back()
        if self.canary is None:
            self.active.pop()
        self.canary = None

    @precondition(lambda self: self.canary is None and len(self.active) == 1)
    @rule()
    def nothing_to_go_back_to(self) -> None:
        with pytest.raises(ValueError, match="no version was active"):
            self.standing.rolled_back()

    @invariant()
    def stands_as_the_model(self) -> None:
        self.active = self.active[-21:]
        assert (self.standing.active, self.standing.canary) == (self.active[-1], self.canary)
        assert self.standing.earlier == tuple(self.active[:-1])


TestStanding = StandingMachine.TestCase


@given(user=IDS, session=IDS, small=PERCENTS, large=PERCENTS)
def test_a_larger_share_keeps_who_was_tried_already(
    user: str, session: str, small: float, large: float
) -> None:
    """A conversation that the canary answers stays with it while its share grows."""
    small, large = sorted((small, large))

    if Standing().trying("v1", small).version_for(user, session) == "v1":
        assert Standing().trying("v1", large).version_for(user, session) == "v1"


def test_a_share_is_a_share() -> None:
    """A tenth of many conversations, none of nought, all of a hundred."""
    conversations = [(f"user-{number}", "default") for number in range(2000)]

    def asked(percent: float) -> int:
        standing = Standing().trying("v1", percent)
        return sum(standing.version_for(*conversation) == "v1" for conversation in conversations)

    assert (asked(0), asked(100)) == (0, 2000)
    assert 150 < asked(10) < 250


def test_another_canary_is_tried_on_others() -> None:
    """It is not always the same people who meet what is new."""
    conversations = [(f"user-{number}", "default") for number in range(2000)]
    tried = [
        {
            conversation
            for conversation in conversations
            if Standing().trying(version, 10).version_for(*conversation) == version
        }
        for version in ("v1", "v2")
    ]

    assert len(tried[0] & tried[1]) < len(tried[0]) / 2


@pytest.mark.parametrize("percent", [-1, 100.1, float("nan")])
def test_a_share_out_of_bounds_is_refused(percent: float) -> None:
    """From 0 to 100."""
    with pytest.raises(ValueError, match="percent"):
        Standing().trying("v1", percent)


def test_a_trial_is_compared_with_what_was_before() -> None:
    """A canary with the active version; a version that was made active with the one before it."""
    assert Standing().newest is None
    assert (Standing().trying("v1", 5).newest, Standing().trying("v1", 5).proven) == ("v1", BASE)
    assert (Standing().activated("v1").newest, Standing().activated("v1").proven) == ("v1", BASE)
