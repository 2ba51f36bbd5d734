"""An upstream that answers late, in part or with nonsense (rows U5 to U9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.row import HEALTHY, INJECTIONS
from tests.processes import wait_until

if TYPE_CHECKING:
    from tests.faults.row import Row
    from tests.processes import Simulator

THRESHOLD = 25
"""More than are injected among healthy calls, so that one module shows both sides of it."""

SETTINGS = {
    "AGENT_MAX_RETRIES": "0",
    "AGENT_LM_TIMEOUT_SECS": "0.8",
    "CIRCUIT_BREAKER_SLOW_SECS": "0.8",
    "CIRCUIT_BREAKER_THRESHOLD": str(THRESHOLD),
    "CIRCUIT_BREAKER_TIMEOUT_SECS": "1.5",
}

HANGS = [
    pytest.param("hang", id="U5 before headers"),
    pytest.param("hang_mid_body", id="U6 mid body"),
    pytest.param("drip,pause=0.1", id="U7 bytes within every read timeout"),
    pytest.param("drip,pause=1", id="U7 a byte a second"),
]
BREAKS = [
    pytest.param("reset", id="U8 before bytes"),
    pytest.param("reset_mid_body", id="U8 after bytes"),
    pytest.param("truncated", id="U9 truncated"),
    pytest.param("malformed_json", id="U9 malformed JSON"),
    pytest.param("wrong_content_type", id="U9 a page instead of JSON"),
    pytest.param("empty_json", id="U9 an empty object"),
]


@pytest.mark.parametrize("fault", HANGS)
def test_a_call_that_does_not_end_costs_its_caller_the_limit_of_one_call(row: Row, fault: str) -> None:
    """Within it the caller is told, the connection is closed, and others are answered all the while."""
    sick, healthy = row.inject(fault, at_once=16)

    assert {told.error for told in sick} == {(502, "upstream_error")}
    assert all(0.7 < told.seconds < 3.0 for told in sick), sick
    assert {told.status for told in healthy} == {200}
    assert row.lm_calls("timeout") == INJECTIONS
    wait_until(
        "the upstream sees every connection closed",
        lambda: [call["outcome"] for call in row.calls()].count("client_gone") == INJECTIONS,
    )
    assert row.breaker() == 0
    row.comes_to_rest()


@pytest.mark.parametrize("fault", BREAKS)
def test_a_broken_answer_costs_its_caller_only(row: Row, fault: str) -> None:
    """The caller is told at once that the model failed; others are answered."""
    sick, healthy = row.inject(fault)

    assert {told.error for told in sick} == {(502, "upstream_error")}
    assert all(told.seconds < 1.0 for told in sick), sick
    assert {told.status for told in healthy} == {200}
    assert row.lm_calls("error") == INJECTIONS
    assert row.breaker() == 0
    row.comes_to_rest()


@pytest.mark.parametrize("fault", [*HANGS, *BREAKS])
def test_the_breaker_counts_it(row: Row, upstream: Simulator, fault: str) -> None:
    """When every call fails like that, the breaker opens, and then nobody waits for one."""
    kind, _, pause = fault.partition(",pause=")
    upstream.behave(faults=[{"kind": kind, **({"pause": float(pause)} if pause else {})}])

    row.ask_all([HEALTHY] * THRESHOLD, at_once=THRESHOLD)
    called = len(row.calls())
    refused = row.ask(HEALTHY)

    assert refused.error == (503, "circuit_breaker_open")
    assert (refused.retry_after_seconds or 0) >= 1
    assert refused.seconds < 0.25
    assert row.lm_calls("timeout") + row.lm_calls("error") == THRESHOLD
    assert len(row.calls()) == called
    row.comes_to_rest()


def test_a_text_that_no_program_can_read_is_the_upstreams_error_but_no_outage(row: Row) -> None:
    """U9, nonsense: the caller is told that the model failed, and the breaker that it is alive."""
    sick, healthy = row.inject("nonsense")

    assert {told.error for told in sick} == {(502, "upstream_error")}
    assert {told.status for told in healthy} == {200}
    assert row.lm_calls("success") == len(row.calls())
    assert row.lm_calls("error") == 0
    assert row.breaker() == 0
    row.comes_to_rest()
