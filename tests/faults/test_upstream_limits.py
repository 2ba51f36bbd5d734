"""An upstream that limits us and says for how long (row U3)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.faults.row import HEALTHY, INJECTIONS

if TYPE_CHECKING:
    from tests.faults.row import Row
    from tests.processes import Simulator

SETTINGS = {"AGENT_MAX_RETRIES": "1"}


def test_a_limit_longer_than_the_callers_deadline_is_passed_on(row: Row) -> None:
    """The caller is told at once when to come back; nobody is told that the upstream is dead."""
    sick, healthy = row.inject("429,retry_after=3", X_Request_Timeout="2")

    assert {told.error for told in sick} == {(503, "upstream_rate_limited")}
    assert {told.error for told in healthy} <= {(200, None), (503, "upstream_rate_limited")}
    assert max(told.retry_after_seconds or 0 for told in sick) == 3
    assert all(1 <= (told.retry_after_seconds or 0) <= 3 for told in sick)
    assert all(told.seconds < 2.5 for told in row.told)
    assert row.lm_calls("rate_limited") <= INJECTIONS
    assert row.breaker() == 0
    row.comes_to_rest()
    assert row.errors("circuit_breaker_open") == 0


def test_a_limit_that_fits_the_deadline_is_waited_for(row: Row, upstream: Simulator) -> None:
    """Retry-After is a floor: the upstream is not asked again before, and the caller gets the answer."""
    upstream.script({"kind": "429", "retry_after": 1})
    started = time.monotonic()

    assert row.ask(HEALTHY).status == 200

    assert time.monotonic() - started >= 1
    first, second = row.calls()[:2]
    assert second["at_epoch_seconds"] - first["at_epoch_seconds"] >= 0.99
    assert row.lm_calls("rate_limited") == 1
    assert row.breaker() == 0
    row.comes_to_rest()
