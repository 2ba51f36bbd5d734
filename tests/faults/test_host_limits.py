"""Too few descriptors and too little processor time (rows H3 and H5 of the fault matrix)."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx
import psutil

from tests.faults.at_rest import PROGRAMS, Asking, assert_at_rest, questions
from tests.faults.wire import Wire
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.processes import Service, Simulator

DESCRIPTORS = 64
CLIENTS = 100
BUSY_PROCESSES = 8
BUSY_SECONDS = 3
BUSY = f"""
import os, time
os.nice(5)
end = time.monotonic() + {BUSY_SECONDS}
while time.monotonic() < end:
    pass
"""


def test_without_descriptors_it_waits_without_spinning_and_recovers(
    serve: Callable[..., Service], simulator: Simulator, tmp_path: Path
) -> None:
    """A hundred connections where 64 descriptors are allowed do not end it; when they go, it serves on."""
    service = serve(**simulator.settings(**PROGRAMS))
    assert service.ask("before").json()["stored"] is True
    process = psutil.Process(service.pid)
    _, hard = process.rlimit(resource.RLIMIT_NOFILE)
    process.rlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, hard))
    with ExitStack() as crowd:
        for _ in range(CLIENTS):
            crowd.enter_context(Wire(service))
        wait_until("it has no descriptor left", lambda: process.num_fds() >= DESCRIPTORS - 1)
        used_before, began = sum(process.cpu_times()[:2]), time.monotonic()
        for _ in range(20):
            assert service.client.get("/api/v1/live").status_code == 200
        wait_until("a second goes by", lambda: time.monotonic() > began + 1)
        used_seconds = sum(process.cpu_times()[:2]) - used_before

    assert used_seconds < 0.7
    wait_until("connections are gone", lambda: process.num_fds() < DESCRIPTORS - 20)
    wait_until("new clients are served", lambda: _is_live(service))
    assert_at_rest(service)
    assert questions(service) == ["before"]


def _is_live(service: Service) -> bool:
    try:
        return httpx.get(f"{service.url()}/api/v1/live", timeout=1).status_code == 200
    except httpx.TransportError:
        return False


def test_where_others_take_the_processor_every_query_is_answered(serve: Callable[..., Service]) -> None:
    """Twice as many busy processes as a small machine has cores slow it down and break nothing."""
    service = serve(**PROGRAMS)
    service.client.get("/api/v1/live")
    with ExitStack() as stack:
        for _ in range(BUSY_PROCESSES):
            busy = subprocess.Popen([sys.executable, "-c", BUSY])
            stack.callback(busy.wait)
            stack.callback(busy.kill)
        asking = [Asking(service, f"question {number}", user_id=f"user-{number}") for number in range(20)]
        slowest_seconds = 0.0
        while any(each.is_alive() for each in asking):
            began = time.monotonic()
            assert service.client.get("/api/v1/live").status_code == 200
            slowest_seconds = max(slowest_seconds, time.monotonic() - began)
        answers = [each.answer() for each in asking]

    assert [(answer.status_code, answer.json()["stored"]) for answer in answers] == [(200, True)] * 20
    assert slowest_seconds < 1
    assert_at_rest(service)
