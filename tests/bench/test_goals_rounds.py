"""The median of rounds, and the doubt about what else was busy."""

from __future__ import annotations

from dataclasses import replace

from bench.goals.rounds import Sample

SAMPLE = Sample(
    rate=1_000.0,
    failed=0,
    p50_ms=30.0,
    p99_ms=50.0,
    live_p99_ms=float("nan"),
    cpu_ms=1.0,
    lm_cpu_ms=0.1,
    load_cpu_ms=0.1,
    busy_cores=1.0,
)


def test_the_median_is_of_each_figure() -> None:
    """One disturbed round does not decide."""
    rounds = [replace(SAMPLE, rate=rate, cpu_ms=cpu) for rate, cpu in ((1.0, 9.0), (3.0, 1.0), (2.0, 2.0))]
    median = Sample.median(rounds)
    assert (median.rate, median.cpu_ms, median.p50_ms) == (2.0, 2.0, 30.0)


def test_a_stub_or_a_load_generator_at_its_limit_is_named() -> None:
    """The rate is then theirs, not the server's."""
    assert SAMPLE.doubt == ""
    assert "the stub" in replace(SAMPLE, lm_cpu_ms=0.9).doubt
    assert "the load generator" in str(replace(SAMPLE, load_cpu_ms=0.9))


def test_failures_are_shown() -> None:
    """A rate beside which many failed is no rate to compare."""
    assert "7 failed" in str(replace(SAMPLE, failed=7))
    assert "failed" not in str(SAMPLE)
