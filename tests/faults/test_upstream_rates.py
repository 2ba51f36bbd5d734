"""An upstream that fails every other time, and one that has become slow (rows U2 and U15)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.row import HEALTHY, INJECTIONS, Row

if TYPE_CHECKING:
    from tests.processes import Service, Simulator

THRESHOLD = 5
RATES_COUNT_FROM = 2 * THRESHOLD
AT_ONCE = 4
USUAL_SECONDS = 0.05
SLOW_SECONDS = 0.25

SETTINGS = {
    "AGENT_MAX_RETRIES": "0",
    "CIRCUIT_BREAKER_SLOW_SECS": str(SLOW_SECONDS),
    "CIRCUIT_BREAKER_THRESHOLD": str(THRESHOLD),
    "CIRCUIT_BREAKER_TIMEOUT_SECS": "2",
}


@pytest.fixture
def row(guarded: Service, upstream: Simulator) -> Row:
    """A row whose breaker has counted nothing: closing an open one empties its window."""
    upstream.behave(faults=[{"kind": "500"}])
    for _ in range(THRESHOLD):
        guarded.ask(HEALTHY)
    upstream.heal()
    return Row(guarded, upstream)


def test_an_upstream_that_fails_every_other_time_is_left_alone(row: Row, upstream: Simulator) -> None:
    """U2: never two failures in a row, yet the breaker opens as soon as the rate counts."""
    for _ in range(INJECTIONS // THRESHOLD):
        row.reset_breaker()
        called = len(row.calls())
        upstream.script(*[{"kind": "500"}, None] * INJECTIONS)

        told = [row.ask(HEALTHY) for _ in range(RATES_COUNT_FROM + THRESHOLD)]

        assert len(row.calls()) - called == RATES_COUNT_FROM
        assert {one.error for one in told} == {(502, "upstream_error"), (503, "circuit_breaker_open")}
        assert row.breaker() == 1
    assert row.lm_calls("error") == INJECTIONS
    row.comes_to_rest()


def test_an_upstream_ten_times_slower_is_left_alone(row: Row, upstream: Simulator) -> None:
    """U15: every call still succeeds, but waiting for them would fill every slot; the breaker opens."""
    upstream.behave(latency_seconds=10 * USUAL_SECONDS)

    told = row.ask_all([HEALTHY] * INJECTIONS, at_once=AT_ONCE)

    assert {one.error for one in told} <= {(200, None), (503, "circuit_breaker_open")}
    assert told[-1].error == (503, "circuit_breaker_open")
    assert len(row.calls()) <= RATES_COUNT_FROM + AT_ONCE
    assert row.lm_calls("error") == 0
    assert row.breaker() == 1
    row.comes_to_rest()
    upstream.behave(latency_seconds=USUAL_SECONDS)
    assert {one.status for one in row.ask_all([HEALTHY] * INJECTIONS, at_once=AT_ONCE)} == {200}
    assert row.breaker() == 0
