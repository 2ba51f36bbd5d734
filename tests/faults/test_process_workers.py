"""A worker dies of what it serves, again and again, while others serve (row P4 with several workers)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from tests.faults.at_rest import ASYNC_PROGRAMS, PROGRAMS, Asking, assert_sound
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.processes import Service

CRASHES = 4


def _ask(url: str, question: str, user_id: str) -> httpx.Response | None:
    """The response, or None when the connection broke."""
    try:
        return httpx.post(f"{url}/api/v1/query", json={"user_id": user_id, "question": question}, timeout=30)
    except httpx.TransportError:
        return None


@pytest.mark.parametrize("habit", ["os-exit", "segfault"])
def test_a_query_that_kills_its_worker_costs_no_other_worker_s_answers(
    serve: Callable[..., Service], tmp_path: Path, habit: str
) -> None:
    """Only that query's process goes; what was acknowledged is stored, and all workers are back."""
    service = serve(**PROGRAMS, SERVER_WORKERS="2", CONVERSATION_POLICY="parallel")
    url = service.url()
    workers = psutil.Process(service.pid)
    wait_until("both serve", lambda: len([line for line in service.lines if " serves" in line]) == 2)
    acknowledged = []
    for number in range(CRASHES):
        wait_until("both are there", lambda: len(workers.children()) == 2)
        assert _ask(url, habit, "mallory") is None
        response = _ask(url, f"question {number}", "ada")
        assert response is not None
        assert response.status_code == 200
        acknowledged.append(f"question {number}")
    history = httpx.get(f"{url}/api/v1/users/ada/history", timeout=10).json()
    assert [turn["question"] for turn in history["turns"]] == acknowledged
    metrics = httpx.get(f"{url}/api/v1/metrics", timeout=10).text
    assert f"agent_worker_crashes_total {CRASHES}.0" in metrics
    wait_until("both are back", lambda: len(workers.children()) == 2, seconds=30)
    assert_sound(tmp_path / "conversations.db")


def test_a_worker_whose_loop_is_blocked_does_not_hold_up_the_numbers_of_the_others(
    serve: Callable[..., Service],
) -> None:
    """Its own count as of its last note; the scrape is answered by whoever turns."""
    service = serve(**ASYNC_PROGRAMS, SERVER_WORKERS="2", CONVERSATION_POLICY="parallel")
    service.url()
    wait_until("both serve", lambda: len([line for line in service.lines if " serves" in line]) == 2)
    blocked = Asking(service, "block-long")
    wait_until("it blocks", lambda: service.log("the event loop is blocked") != [])
    with httpx.Client(base_url=service.url(), timeout=0.7) as client:
        for _ in range(10):
            try:
                answered = client.get("/api/v1/metrics")
                break
            except httpx.TimeoutException:
                continue
    assert "agent_workers 2.0" in answered.text
    assert answered.elapsed.total_seconds() < 0.5
    assert blocked.answer().status_code == 200
