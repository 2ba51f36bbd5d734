"""An upstream that answers with an error status (rows U1, U4, U13, U14)."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import pytest

from tests.faults.row import HEALTHY, INJECTIONS
from tests.processes import wait_until

if TYPE_CHECKING:
    from tests.faults.row import Row
    from tests.processes import Simulator

THRESHOLD = 5
AT_ONCE = 4
PROBES = 2

SETTINGS = {
    "AGENT_MAX_RETRIES": "1",
    "CIRCUIT_BREAKER_THRESHOLD": str(THRESHOLD),
    "CIRCUIT_BREAKER_TIMEOUT_SECS": "1",
}


def test_an_upstream_that_only_fails_is_left_alone_soon_and_found_again(
    row: Row, upstream: Simulator
) -> None:
    """U1: the breaker opens within threshold and calls in flight, refuses fast, and two probes close it."""
    upstream.behave(faults=[{"kind": "500"}])

    told = row.ask_all([HEALTHY] * 3 * INJECTIONS, at_once=AT_ONCE)

    refused = [one for one in told if one.status == 503]
    assert {one.error for one in told} == {(502, "upstream_error"), (503, "circuit_breaker_open")}
    assert {one.error for one in told[-INJECTIONS:]} == {(503, "circuit_breaker_open")}
    assert len(row.calls()) <= THRESHOLD + AT_ONCE + PROBES
    assert row.lm_calls("error") == len(row.calls())
    assert all((one.retry_after_seconds or 0) >= 1 for one in refused)
    assert statistics.median(one.seconds for one in refused) < 0.1
    assert row.breaker() != 0
    assert row.service.client.get("/api/v1/health").status_code == 503
    row.comes_to_rest()


@pytest.mark.parametrize("fault", ["500", "429", "truncated", "malformed_json"])
def test_a_failure_that_passes_is_no_news_to_the_caller(row: Row, upstream: Simulator, fault: str) -> None:
    """One failed attempt is followed by another, and its caller gets the answer."""
    upstream.script(*[{"kind": fault}])

    assert row.ask(HEALTHY).status == 200
    assert [call["fault"] for call in row.calls()][:2] == [fault, None]
    assert row.lm_calls("rate_limited" if fault == "429" else "error") == 1
    row.comes_to_rest()


def test_a_limit_that_names_no_time_keeps_the_breaker_closed(row: Row, upstream: Simulator) -> None:
    """U4: the caller is told to come back, with a time of ours, and the upstream is not called dead."""
    upstream.behave(faults=[{"kind": "429"}])

    told = row.ask_all([HEALTHY] * INJECTIONS)

    assert {one.error for one in told} == {(503, "upstream_rate_limited")}
    assert all((one.retry_after_seconds or 0) >= 1 for one in told)
    assert row.lm_calls("rate_limited") == len(row.calls())
    assert row.errors("circuit_breaker_open") == 0
    assert row.breaker() == 0
    row.comes_to_rest()


@pytest.mark.parametrize("fault", ["401", "402", "403", "404", "insufficient_quota"])
def test_what_the_operator_must_mend_is_no_outage_and_raises_an_alarm(row: Row, fault: str) -> None:
    """U13: key, account or model name refused: asked once, never the breaker's business, logged as error."""
    sick, healthy = row.inject(fault)

    assert {told.error for told in sick} == {(500, "misconfigured")}
    assert {told.status for told in healthy} == {200}
    assert [call["fault"] for call in row.calls()].count(fault) == INJECTIONS
    assert row.breaker() == 0
    users = {told.user_id for told in sick}
    wait_until("each is an error in the log", lambda: users <= _alarmed(row))
    row.comes_to_rest()


def _alarmed(row: Row) -> set[str]:
    lines = row.service.log("query")
    return {
        line["user_id"] for line in lines if (line["level"], line.get("code")) == ("error", "misconfigured")
    }


def test_a_refused_request_is_judged_by_its_status_and_not_by_its_text(row: Row) -> None:
    """U14: a 400 that speaks of a timeout shows an upstream that is alive; it is asked once."""
    told = row.ask_all([f"{HEALTHY} #sim:fault=timeout_text"] * INJECTIONS)
    healthy = row.ask_all([HEALTHY] * INJECTIONS)

    assert {one.error for one in told} == {(502, "upstream_error")}
    assert {one.status for one in healthy} == {200}
    assert [call["fault"] for call in row.calls()].count("timeout_text") == INJECTIONS
    assert row.lm_calls("timeout") == 0
    assert row.breaker() == 0
    row.comes_to_rest()
