from __future__ import annotations

import asyncio
import os

import pytest

from agent_service.server.stop_requests import ECHO_SECONDS, SIGNALS, StopRequests
from agent_service.testing import FakeClock


@pytest.mark.parametrize("number", SIGNALS)
async def test_the_first_signal_asks_and_the_second_insists(number: int) -> None:
    """SIGTERM and SIGINT mean the same, and how often they came is what counts."""
    clock = FakeClock()
    requests = StopRequests(clock=clock)
    requests.listen()
    assert repr(requests) == "<StopRequests quiet>"
    os.kill(os.getpid(), number)
    await requests.asked.wait()
    assert not requests.insisted.is_set()
    clock.advance(1.0)
    os.kill(os.getpid(), number)
    await requests.insisted.wait()
    for heard in SIGNALS:
        asyncio.get_running_loop().remove_signal_handler(heard)


def test_an_echo_does_not_insist() -> None:
    """A process group and its leader's parent both deliver the signal that was sent once."""
    clock = FakeClock()
    requests = StopRequests(clock=clock)
    requests.hear()
    clock.advance(ECHO_SECONDS / 2)
    requests.hear()
    assert repr(requests) == "<StopRequests asked>"
    clock.advance(ECHO_SECONDS)
    requests.hear()
    assert repr(requests) == "<StopRequests insisted>"


def test_handing_over_asks_without_urgency() -> None:
    """A signal that comes meanwhile is the first one: it makes the stop urgent and insists on nothing."""
    requests = StopRequests(clock=FakeClock())
    requests.hand_over()
    assert (requests.asked.is_set(), requests.urgent.is_set()) == (True, False)
    requests.hear()
    assert (requests.urgent.is_set(), requests.insisted.is_set()) == (True, False)
