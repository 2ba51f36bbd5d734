from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from agent_service.loadtest.stage.model import SimulatedModel
from agent_service.loadtest.stage.process import StageError

if TYPE_CHECKING:
    from collections.abc import Iterator

BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "What is 2+2?"}]}


@pytest.fixture(scope="module")
def model() -> Iterator[SimulatedModel]:
    running = SimulatedModel(processes=2, latency_seconds=0.01)
    yield running
    running.close()


def _ask(model: SimulatedModel) -> None:
    assert httpx.post(f"{model.base_url}/chat/completions", json=BODY).status_code == 200


def test_processes_share_a_port_and_their_calls_are_added_up(model: SimulatedModel) -> None:
    """Each new connection goes to either; together they have seen all."""
    before = model.calls()
    for _ in range(20):
        _ask(model)
    assert model.calls() - before == 20
    assert len(model.cpu_seconds()) == 2
    assert all(seconds > 0 for seconds in model.cpu_seconds())


def test_a_call_takes_its_latency(model: SimulatedModel) -> None:
    """The least that a call takes."""
    started = time.monotonic()
    _ask(model)
    assert time.monotonic() - started >= 0.01


def test_one_that_has_ended_is_an_error() -> None:
    """A load test without its model would measure failures."""
    model = SimulatedModel()
    model.close()
    with pytest.raises(StageError, match="ended"):
        model.cpu_seconds()


def test_it_does_not_outlive_a_load_test_that_was_killed() -> None:
    """It ends with its input."""
    code = """
from agent_service.loadtest.stage.model import SimulatedModel
import os, signal
model = SimulatedModel()
print(*(process.pid for process in model._processes), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=False)
    pid = int(killed.stdout)
    end = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end
        time.sleep(0.02)
