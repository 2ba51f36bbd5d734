"""Clients who leave, who come in crowds and who do not read (rows N1, N3 and N6 of the fault matrix)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

from tests.faults.at_rest import (
    PROGRAMS,
    Asking,
    assert_at_rest,
    questions,
    turns,
    wait_for_commit,
    write_locked,
)
from tests.faults.wire import LIVE, POST, Wire, query
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.processes import Service, Simulator

LEFT = 'agent_errors_total{error="cancelled"}'
CHURN = 3_000


def test_who_leaves_the_queue_leaves_no_trace_in_it(
    serve: Callable[..., Service], simulator: Simulator
) -> None:
    """The place is free at once and the model is never asked for the one who left."""
    simulator.behave(latency_seconds=1.5)
    service = serve(**simulator.settings(**PROGRAMS, AGENT_POOL_SIZE="1"))
    first = Asking(service, "first question")
    wait_until("the first runs", lambda: service.metric("agent_pool_in_use") == 1)
    with Wire(service) as leaving:
        leaving.send(query("second question", user_id="bob"))
        wait_until("the second waits", lambda: service.metric("agent_pool_waiting") == 1)

    wait_until("its place is free", lambda: service.metric("agent_pool_waiting") == 0, seconds=1)
    assert service.metric("agent_pool_in_use") == 1
    assert first.answer().status_code == 200
    assert service.metric(LEFT) == 1
    simulator.heal()
    assert_at_rest(service)
    assert "second question" not in str(simulator.journal())
    assert turns(service, "bob") == []


def test_who_leaves_during_the_models_call_ends_it(
    serve: Callable[..., Service], simulator: Simulator
) -> None:
    """The provider sees its connection closed within a second; nothing is stored and no breaker moves."""
    simulator.behave(latency_seconds=30)
    service = serve(**simulator.settings(**PROGRAMS))
    with Wire(service) as leaving:
        leaving.send(query("hello there"))
        wait_until("the model is asked", lambda: len(simulator.journal()) == 1)

    wait_until("the call is closed", lambda: simulator.journal()[0]["outcome"] == "client_gone", seconds=1)
    simulator.heal()
    assert_at_rest(service)
    assert service.metric(LEFT) == 1
    assert service.metric("circuit_breaker_state") == 0
    assert turns(service) == []


def test_who_leaves_during_the_commit_finds_the_turn_whole(
    serve: Callable[..., Service], tmp_path: Path
) -> None:
    """The turn was complete, so it is stored, exactly once; the slot is held until it is."""
    service = serve(**PROGRAMS, MEMORY_TIMEOUT_SECS="10", CONVERSATION_POLICY="parallel")
    service.url()
    with write_locked(tmp_path / "conversations.db") as let_go:
        with Wire(service) as leaving:
            leaving.send(query("hello there"))
            wait_for_commit(service)
        wait_until("it is noticed", lambda: service.metric(LEFT) == 1, seconds=1)
        assert service.metric("agent_pool_in_use") == 1
        let_go()

    assert_at_rest(service)
    assert questions(service) == ["hello there"]
    assert turns(service)[0]["answer"]


def test_who_reads_nothing_holds_no_slot(serve: Callable[..., Service]) -> None:
    """Big answers that nobody takes wait in their connections, not in the pool, and go when those go."""
    service = serve(**PROGRAMS, AGENT_POOL_SIZE="2")
    service.url()
    readers = [Wire(service, receive_buffer_bytes=4096) for _ in range(4)]
    for number, reader in enumerate(readers):
        reader.send(query("megabytes please", user_id=f"deaf-{number}"))
        wait_until("it is stored", lambda number=number: bool(questions(service, f"deaf-{number}")))  # type: ignore[misc]

    assert_at_rest(service)
    for reader in readers:
        reader.close()
    process = psutil.Process(service.pid)
    wait_until("only our own connection is left", lambda: _connections(process) == 1)
    assert_at_rest(service)


def _connections(process: psutil.Process) -> int:
    return sum(connection.status == psutil.CONN_ESTABLISHED for connection in process.net_connections("tcp"))


def test_thousands_of_connections_leave_no_descriptor_behind(serve: Callable[..., Service]) -> None:
    """However a connection ends, the service has as many descriptors, tasks and threads as before."""
    service = serve(**PROGRAMS)
    assert_at_rest(service)
    process = psutil.Process(service.pid)
    descriptors, threads = process.num_fds(), process.num_threads()

    for number in range(CHURN):
        wire = Wire(service)
        if number % 5 == 1:
            wire.send(LIVE)
            assert wire.answer()[0] == 200
        elif number % 5 == 2:
            wire.send(POST)
            wire.half_close()
        elif number % 5 == 3:
            wire.send(POST + b"Content-Length: 1000\r\n\r\n{")
            wire.reset()
        elif number % 5 == 4:
            wire.half_close()
        wire.close()

    wait_until("every descriptor is back", lambda: process.num_fds() <= descriptors)
    assert process.num_threads() <= threads + 1
    assert_at_rest(service)
