"""An upstream that answers without an end (row U10)."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.row import HEALTHY, INJECTIONS

if TYPE_CHECKING:
    from tests.faults.row import Row

STATUS = "/proc/{}/status"
PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)
GROWTH_BYTES = 50_000_000

SETTINGS = {
    "AGENT_MAX_RETRIES": "0",
    "AGENT_LM_TIMEOUT_SECS": "10",
    "CIRCUIT_BREAKER_THRESHOLD": str(INJECTIONS + 1),
}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_a_body_of_a_gigabyte_is_cut(row: Row) -> None:
    """U10: it costs its caller an error and the service a bounded amount of memory; others are answered."""
    row.ask_all([HEALTHY] * INJECTIONS)
    before = _peak_bytes(row)

    with ThreadPoolExecutor(1) as others:
        healthy = others.submit(row.ask_all, [HEALTHY] * INJECTIONS, at_once=1)
        sick = row.ask_all([f"{HEALTHY} #sim:fault=huge,bytes=1000000000"] * INJECTIONS, at_once=1)

    assert {told.error for told in sick} == {(502, "upstream_error")}
    assert all(told.seconds < 5 for told in sick)
    assert {told.status for told in healthy.result()} == {200}
    assert _peak_bytes(row) - before < GROWTH_BYTES
    assert row.lm_calls("error") == INJECTIONS
    assert row.breaker() == 0
    row.comes_to_rest()


def _peak_bytes(row: Row) -> int:
    """The most memory that the service has had."""
    found = PEAK.search(Path(STATUS.format(row.service.pid)).read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) * 1024
