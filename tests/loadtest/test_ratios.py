from __future__ import annotations

import pytest

from agent_service.loadtest.load import ClosedLoop
from agent_service.loadtest.ratios import ratios_of
from tests.loadtest.summaries import summary


def test_the_service_is_compared_with_each_other_under_the_same_load() -> None:
    """Throughput as a whole and by round; CPU the other way round, so that more is always better."""
    other = summary("acall", throughput=20.0, round_throughputs=(15.0, 22.0), cpu_seconds_per_query=0.03)
    (ratio,) = ratios_of([summary(), other])
    assert (ratio.baseline, ratio.load) == ("acall", ClosedLoop(8))
    assert ratio.throughput == 5
    assert (ratio.lowest, ratio.highest) == (5, 6)
    assert ratio.cpu == pytest.approx(15)


def test_other_loads_are_not_mixed_in() -> None:
    """A ratio has one load."""
    more = ClosedLoop(64)
    summaries = [
        summary(),
        summary("acall", throughput=50.0),
        summary(load=more, throughput=300.0),
        summary("acall", load=more, throughput=100.0),
    ]
    assert [(ratio.load, ratio.throughput) for ratio in ratios_of(summaries)] == [
        (ClosedLoop(8), 2),
        (more, 3),
    ]


def test_what_answered_nothing_is_not_divided_by() -> None:
    """There is no ratio to nothing, and none of CPU that is not known."""
    assert ratios_of([summary()]) == []
    assert ratios_of([summary(), summary("acall", throughput=0.0)]) == []
    (ratio,) = ratios_of([summary(cpu_seconds_per_query=None), summary("acall")])
    assert ratio.cpu is None


def test_a_round_that_only_one_has_finished_is_left_out() -> None:
    """An interruption leaves the service a round ahead."""
    (ratio,) = ratios_of([summary(), summary("acall", throughput=45.0, round_throughputs=(45.0,))])
    assert (ratio.lowest, ratio.highest) == (2, 2)
