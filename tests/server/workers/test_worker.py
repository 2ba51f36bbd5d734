from __future__ import annotations

import asyncio
import os
import signal
import socket

import pytest

from agent_service.server.workers.channel import Channel
from agent_service.server.workers.sibling_line import SiblingLine
from agent_service.server.workers.worker import Orders
from agent_service.testing import FakeClock


def _orders() -> tuple[Orders, Channel, Channel]:
    """What a worker hears, and both ends of its line."""
    supervisor, worker = (Channel(end) for end in socket.socketpair())
    clock = FakeClock()
    return Orders(SiblingLine(worker, clock=clock), clock=clock), supervisor, worker


async def test_a_stop_is_urgent_and_insisting_more_so() -> None:
    """A stop of all leaves nobody to hand over to."""
    orders, supervisor, worker = _orders()
    orders.obey("stop")
    assert (orders.asked.is_set(), orders.urgent.is_set(), orders.insisted.is_set()) == (True, True, False)
    orders.obey("insist")
    assert orders.insisted.is_set()
    supervisor.close()
    worker.close()


@pytest.mark.parametrize("order", ["leave", "orphaned"])
async def test_leaving_hands_over(order: str) -> None:
    """Others take over; a stop that comes meanwhile is urgent all the same."""
    orders, supervisor, worker = _orders()
    orders.obey(order)
    assert (orders.asked.is_set(), orders.urgent.is_set()) == (True, False)
    orders.obey("stop")
    assert (orders.urgent.is_set(), orders.insisted.is_set()) == (True, False)
    supervisor.close()
    worker.close()


async def test_a_sigterm_is_a_question_to_the_supervisor() -> None:
    """It knows whether this worker alone is to end or, as a service manager signals it, all."""
    orders, supervisor, worker = _orders()
    orders.listen()
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(10):
        await asyncio.sleep(0)  # the loop's turns until a signal is handled
    assert supervisor.receive() == [{"report": "leaving"}]
    assert not orders.asked.is_set()
    loop = asyncio.get_running_loop()
    loop.remove_signal_handler(signal.SIGTERM)
    loop.remove_reader(worker)
    supervisor.close()
    worker.close()
