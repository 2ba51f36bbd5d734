"""Bytes that are slow, too many, or mean two things (rows N2, N4 and N5 of the fault matrix)."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.at_rest import PROGRAMS, assert_at_rest, questions
from tests.faults.wire import LIVE, POST, Wire, query
from tests.processes import Service, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IDLERS = 200
MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all that it must survive."""
    running = Service(tmp_path_factory.mktemp("wire"), **PROGRAMS)
    yield running
    running.close()


def test_slow_clients_keep_nobody_waiting_and_are_cut_off(serve: Callable[..., Service]) -> None:
    """Hundreds of them take no slot; probes and queries are answered, and their time ends at the limits.

    The limit of a body, 30 s, is held by the protocol's own tests.
    """
    service = serve(**PROGRAMS, AGENT_POOL_SIZE="2")
    service.ask("hello there")
    beginnings = (b"", b"POST /api", POST, POST + b"Content-Length: 1000\r\n\r\n{")
    wires = [Wire(service) for _ in range(IDLERS)]
    began = time.monotonic()
    for number, wire in enumerate(wires):
        wire.send(beginnings[number % len(beginnings)])

    for _ in range(10):
        asked = time.monotonic()
        assert service.client.get("/api/v1/live").status_code == 200
        assert time.monotonic() - asked < 0.2
        assert service.ask("hello there").status_code == 200
    assert service.metric("agent_pool_in_use") == 0

    slow_bodies = wires[3 :: len(beginnings)]
    bounded = [wire for wire in wires if wire not in slow_bodies]
    wait_until("they are cut off", lambda: all(wire.is_closed() for wire in bounded), seconds=13)
    assert time.monotonic() - began > 9
    assert not any(wire.is_closed() for wire in slow_bodies)
    for wire in wires:
        wire.close()
    assert_at_rest(service)


@pytest.mark.parametrize(
    "oversized",
    [
        POST + b"Content-Length: 2000000\r\n\r\n" + b"x" * 2_000_000,
        POST + b"Content-Length: 99999999999\r\n\r\n",
        POST
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 32
        + b"0\r\n\r\n",
    ],
    ids=["declared and sent", "declared", "chunked"],
)
def test_a_body_beyond_the_limit_is_refused_however_it_comes(service: Service, oversized: bytes) -> None:
    """413 says so, and no slot is taken for it."""
    with Wire(service) as wire:
        wire.send(oversized)

        status, body = wire.answer()

    assert (status, json.loads(body)["error"]) == (413, "payload_too_large")
    assert_at_rest(service)


def test_pipelined_requests_are_answered_each_and_in_order(service: Service) -> None:
    """Three at once on one connection are three answers, the slow one first when it came first."""
    with Wire(service) as wire:
        wire.send(query("first of three", user_id="pipe") + LIVE + query("third of three", user_id="pipe"))

        answers = [wire.answer() for _ in range(3)]

    assert [status for status, _ in answers] == [200, 200, 200]
    assert json.loads(answers[0][1])["question"] == "first of three"
    assert json.loads(answers[2][1])["question"] == "third of three"
    assert questions(service, "pipe") == ["first of three", "third of three"]
    assert_at_rest(service)


@pytest.mark.parametrize(
    "two_lengths",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
        b"Content-Length: 4\r\nContent-Length: 40\r\n\r\n",
        b"Transfer-Encoding: chunked, identity\r\n\r\n",
        b"Transfer-Encoding : chunked\r\n\r\n",
        b"Content-Length: +4\r\n\r\n",
    ],
)
def test_a_request_with_two_ends_is_refused_and_hides_no_other(service: Service, two_lengths: bytes) -> None:
    """Whatever follows a head that a proxy may read otherwise is not read as a request (RFC 9112, 6.3)."""
    hidden = query("smuggled", user_id="hidden")
    with Wire(service) as wire:
        wire.send(POST + two_lengths + b"0\r\n\r\n" + hidden)

        received = wire.rest()

    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1 ") == 1
    assert questions(service, "hidden") == []
    assert_at_rest(service)
