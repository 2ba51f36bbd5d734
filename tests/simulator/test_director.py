from __future__ import annotations

from random import Random

import pytest

from agent_service.simulator.behaviour import Behaviour, Fault
from agent_service.simulator.director import Director, Plan

HANG = Fault("hang")


def _director(behaviour: Behaviour | None = None) -> Director:
    return Director(behaviour=behaviour or Behaviour(), random=Random(1))


def test_without_anything_set_the_rules_answer() -> None:
    """Nothing set: no wait, no fault, no scripted text."""
    plan = _director().plan("hello")
    assert plan == Plan()
    assert not plan.waits


@pytest.mark.parametrize(
    ("question", "plan"),
    [
        ("please #sim:latency=0.5.", Plan(latency_seconds=0.5)),
        ("#sim:fault=500", Plan(fault=Fault("500"))),
        ("x #sim:fault=429,retry_after=2 y", Plan(fault=Fault("429", retry_after_seconds=2.0))),
        ("#sim:latency=1 #sim:fault=hang", Plan(latency_seconds=1.0, fault=HANG)),
        (
            "#sim:fault=drip,pause=0.1,bytes=9",
            Plan(fault=Fault("drip", pause_seconds=0.1, size_bytes=9)),
        ),
        ("#sim:colour=red", Plan()),
    ],
)
def test_a_question_directs_its_own_request(question: str, plan: Plan) -> None:
    """Directives set latency and fault of the request they stand in."""
    assert _director().plan(question) == plan


def test_a_wrong_directive_is_refused() -> None:
    """A directive for what there is not is an error, not silence."""
    with pytest.raises(ValueError, match="unknown fault"):
        _director().plan("#sim:fault=nope")


def test_the_script_is_followed_in_order_and_ends() -> None:
    """Each request takes one entry; after the last one the behaviour holds again."""
    director = _director(Behaviour(faults=(HANG,)))
    director.follow(["one", {"kind": "500"}, None])
    plans = [director.plan("hello") for _ in range(4)]
    assert plans == [Plan(text="one"), Plan(fault=Fault("500")), Plan(), Plan(fault=HANG)]


def test_a_directive_leaves_the_script_alone() -> None:
    """A request that directs its own fault takes no entry of the script."""
    director = _director()
    director.follow(["one"])
    assert director.plan("#sim:fault=hang").fault == HANG
    assert director.plan("hello").text == "one"


def test_a_wrong_script_is_refused_whole() -> None:
    """An entry that is not allowed leaves the script as it was."""
    director = _director()
    director.follow(["one"])
    with pytest.raises(ValueError, match="a script is a list"):
        director.follow(["two", 3])
    assert director.plan("hello").text == "one"


def test_faults_strike_at_their_rate() -> None:
    """A rate of 0 never strikes, 1 always, a half about every other time; the first that strikes counts."""
    faults = (Fault("500", rate=0.0), Fault("502", rate=0.5), Fault("503"))
    director = _director(Behaviour(faults=faults))
    kinds = [fault.kind for fault in (director.plan("").fault for _ in range(1000)) if fault]
    assert len(kinds) == 1000
    assert 400 < kinds.count("502") < 600
    assert "500" not in kinds


def test_jitter_stays_within_its_bound() -> None:
    """Latency lies between its base and base plus jitter, and differs."""
    director = _director(Behaviour(latency_seconds=1.0, latency_jitter_seconds=0.5))
    latencies = {director.plan("").latency_seconds for _ in range(100)}
    assert len(latencies) > 1
    assert min(latencies) >= 1.0
    assert max(latencies) <= 1.5


def test_reset_returns_to_the_start() -> None:
    """Reset forgets the script and every behaviour set since the start."""
    director = _director(Behaviour(latency_seconds=1.0))
    director.behaviour = Behaviour()
    director.follow(["one"])
    director.reset()
    assert director.plan("hello") == Plan(latency_seconds=1.0)
