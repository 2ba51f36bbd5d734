from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agent_service.core.observer import LoopBlocked
from agent_service.core.siblings import ALONE, SiblingsSilentError
from agent_service.telemetry.metrics import Metrics
from agent_service.telemetry.shared_metrics import NOTE_SECONDS, SharedMetrics
from agent_service.testing import FakeClock
from tests.siblings import Sibling, two

if TYPE_CHECKING:
    from agent_service.core.siblings import Facts


def _metrics(*, blocked: int = 0) -> Metrics:
    metrics = Metrics(
        pool_size=lambda: 64,
        pool_in_use=int,
        pool_waiting=int,
        pool_abandoned=int,
        breaker_state=lambda: "closed",
        upstreams=tuple,
        version="1",
        dspy_version="1",
    )
    for _ in range(blocked):
        metrics.observe(LoopBlocked("", 1.0))
    return metrics


def _blocked(snapshot: Facts) -> float:
    """The counter's value in a snapshot."""
    families = {family["name"]: family for family in snapshot["families"]}
    return float(families["agent_event_loop_blocked"]["samples"][0][2])


async def test_alone_it_is_the_plain_exposition() -> None:
    """No snapshot is made and no task runs on."""
    metrics = _metrics(blocked=1)
    shared = SharedMetrics(metrics, siblings=ALONE, clock=FakeClock())
    text, content_type = await shared.expose()
    assert b"agent_event_loop_blocked_total 1.0" in text
    assert content_type == metrics.expose()[1]
    await shared.run()


async def test_what_the_siblings_answer_is_exposed() -> None:
    """It tells its own numbers with the question, and answers theirs."""
    one, other = two()
    shared = SharedMetrics(_metrics(blocked=1), siblings=one, clock=FakeClock())
    SharedMetrics(_metrics(blocked=2), siblings=other, clock=FakeClock())
    text, _ = await shared.expose()
    assert b"agent_event_loop_blocked_total 2.0" in text


async def test_one_process_s_numbers_are_never_given_for_those_of_all() -> None:
    """Counters would go back and forth; a scrape that fails is seen."""
    line, _ = two()
    line.is_cut_off = True
    with pytest.raises(SiblingsSilentError):
        await SharedMetrics(_metrics(), siblings=line, clock=FakeClock()).expose()


async def test_numbers_are_noted_again_and_again_and_at_the_end() -> None:
    """What is counted after the last question outlives the process."""
    clock = FakeClock()
    line = Sibling([])
    metrics = _metrics()
    noting = asyncio.create_task(SharedMetrics(metrics, siblings=line, clock=clock).run())
    await asyncio.sleep(0)
    metrics.observe(LoopBlocked("", 1.0))
    clock.advance(NOTE_SECONDS)
    for _ in range(3):
        await asyncio.sleep(0)
    metrics.observe(LoopBlocked("", 1.0))
    noting.cancel()
    await asyncio.wait({noting})
    assert [_blocked(note) for note in line.notes] == [0, 1, 2]
