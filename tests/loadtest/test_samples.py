from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_service.loadtest.load import ClosedLoop, Extent, Reply, Sample
from agent_service.loadtest.samples import Round, percentile, summary_of
from agent_service.loadtest.stage.usage import Usage

LOAD = ClosedLoop(2)


def sample(due: float, ended: float, error: str | None = None, lm_calls: int | None = None) -> Sample:
    return Sample(due, ended, Reply(error, lm_calls))


@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=300), st.sampled_from([1, 50, 90, 95, 99, 100]))
def test_a_percentile_is_the_smallest_value_that_enough_others_do_not_exceed(
    values: list[float], percent: int
) -> None:
    """Exact nearest rank: a value that was measured, not one between two."""
    found = percentile(sorted(values), percent)
    enough = len(values) * percent / 100
    assert found in values
    assert sum(value <= found for value in values) >= enough
    assert sum(value < found for value in values) < enough


def test_throughput_counts_answers_within_the_time_of_sending() -> None:
    """The wait for the last replies is no part of it, nor are errors."""
    one = Round(Extent(seconds=2), started_seconds=10.0, ended_seconds=13.0)
    one.samples = [sample(10, 11), sample(10, 12), sample(11, 11.5, "timeout"), sample(11.9, 13)]
    assert one.window_seconds == 2
    assert one.throughput == 1.0


def test_a_number_of_queries_takes_as_long_as_it_takes() -> None:
    """Throughput is then over the time until the last reply."""
    one = Round(
        Extent(queries=2), started_seconds=0.0, ended_seconds=4.0, samples=[sample(0, 1), sample(1, 4)]
    )
    assert one.throughput == 0.5


def test_an_interrupted_round_counts_until_the_interruption() -> None:
    """What was measured until then is worth as much."""
    one = Round(Extent(seconds=60), started_seconds=0.0, ended_seconds=4.0, samples=[sample(0, 1)])
    assert one.throughput == 0.25


def test_a_summary_adds_up_rounds() -> None:
    """Percentiles over all rounds, CPU by answer, memory from before the first to after the last."""
    first = Round(
        Extent(seconds=1),
        0.0,
        [sample(0, 0.1), sample(0, 0.3), sample(0, 0.2, "timeout")],
        1.0,
        Usage(1.0, 100),
        Usage(1.4, 150),
        generator_cpu_seconds=0.1,
        model_cpu_seconds=0.2,
        model_calls=6,
    )
    second = Round(
        Extent(seconds=1),
        5.0,
        [sample(5, 5.2), sample(5, 5.4)],
        6.0,
        Usage(2.0, 150),
        Usage(2.6, 180),
        generator_cpu_seconds=0.3,
        model_cpu_seconds=0.2,
        model_calls=6,
    )
    summary = summary_of("service", LOAD, [first, second])
    assert (summary.queries, summary.answered, summary.errors) == (5, 4, {"timeout": 1})
    assert summary.round_throughputs == (2.0, 2.0)
    assert summary.throughput == 2.0
    assert summary.latencies_seconds[50] == pytest.approx(0.2)
    assert summary.latencies_seconds[100] == pytest.approx(0.4)
    assert summary.cpu_seconds_per_query == pytest.approx(0.25)
    assert summary.cores_busy == pytest.approx(0.5)
    assert summary.rss_bytes == (100, 180)
    assert summary.lm_calls == 12
    assert summary.generator_busy == pytest.approx(0.2)
    assert summary.model_busy == pytest.approx(0.2)


def test_what_cannot_be_known_of_a_server_is_none() -> None:
    """A service that was not started here has no CPU time to see; its answers tell the LM calls."""
    one = Round(Extent(seconds=1), 0.0, [sample(0, 0.5, lm_calls=3), sample(0, 0.5, lm_calls=2)], 1.0)
    summary = summary_of("service", LOAD, [one])
    assert (summary.cpu_seconds_per_query, summary.cores_busy, summary.rss_bytes) == (None, None, None)
    assert summary.lm_calls == 5


def test_without_answers_there_are_no_latencies() -> None:
    """Errors have none that would mean anything."""
    one = Round(Extent(seconds=1), 0.0, [sample(0, 0.5, "timeout")], 1.0, Usage(0, 1), Usage(1, 1))
    summary = summary_of("service", LOAD, [one])
    assert (summary.latencies_seconds, summary.cpu_seconds_per_query, summary.throughput) == ({}, None, 0)
    assert summary.lm_calls is None
