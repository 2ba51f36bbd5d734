"""Event streams of real processes: followed, left, not read, ended."""

from __future__ import annotations

import json
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.faults.wire import Wire
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from tests.processes import Service, Simulator

CANCELLED = 'agent_errors_total{error="cancelled"}'
LONG_REPLY = f"[[ ## reply ## ]]\n{'All is well, and more is to come. ' * 40}\n\n[[ ## completed ## ]]"


def _events(response: httpx.Response) -> Iterator[tuple[int, str, Any]]:
    """Id, kind and data of each event, as it comes."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield int(fields["id"]), fields["event"], json.loads(fields["data"])
            fields = {}


@contextmanager
def _asking(
    service: Service, question: str = "Hello there!", **parameters: str
) -> Iterator[Iterator[tuple[int, str, Any]]]:
    body = {"user_id": "ada", "question": question}
    with service.client.stream("POST", "/api/v1/query/stream", json=body, params=parameters) as response:
        assert response.status_code == 200, response.read()
        yield _events(response)


def _at_rest(service: Service) -> None:
    wait_until("the slot is free", lambda: service.metric("agent_pool_in_use") == 0, seconds=5)


def _history(service: Service) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = service.client.get("/api/v1/users/ada/history").json()["turns"]
    return turns


@pytest.mark.parametrize("program", ["", "own_program:support"])
def test_the_answer_is_read_while_it_is_written(
    serve: Callable[..., Service], simulator: Simulator, program: str
) -> None:
    """Of the built-in agent and of a sync program: text long before the end, together the whole answer."""
    simulator.behave(tokens_per_second=100)
    service = serve(**simulator.settings(AGENT_PROGRAM=program))
    service.url()
    told, at_seconds = [], []
    with _asking(service) as events:
        for event in events:
            told.append(event)
            at_seconds.append(time.monotonic())

    kinds = [kind for _, kind, _ in told]
    text = "".join(data["text"] for _, kind, data in told if kind == "answer.delta")
    assert [number for number, _, _ in told] == list(range(1, len(told) + 1))
    assert (kinds[0], kinds[-1], kinds.count("answer")) == ("run.started", "answer", 1)
    assert kinds.count("answer.delta") > 5
    assert "answer.reset" not in kinds
    assert text == told[-1][2]["answer"] == _history(service)[0]["answer"]
    assert at_seconds[-1] - at_seconds[kinds.index("answer.delta")] > 0.3


def test_a_client_that_closes_during_the_models_call_ends_it(
    serve: Callable[..., Service], simulator: Simulator
) -> None:
    """In the middle of the answer: the provider sees its connection closed within a second."""
    simulator.behave(tokens_per_second=10)
    service = serve(**simulator.settings(AGENT_PROGRAM="own_program:support"))
    service.url()
    with _asking(service) as events:
        assert next(event for event in events if event[1] == "answer.delta")

    wait_until("the call is closed", lambda: simulator.journal()[0]["outcome"] == "client_gone", seconds=1)
    _at_rest(service)
    assert service.metric(CANCELLED) == 1
    assert service.metric("circuit_breaker_state") == 0
    assert _history(service) == []


@pytest.mark.parametrize(("program", "tool"), [("waiting", "wait"), ("blocking", "block")])
def test_a_client_that_closes_during_a_tools_call_stops_the_run(
    serve: Callable[..., Service], simulator: Simulator, program: str, tool: str
) -> None:
    """Within a second, though a thread cannot be interrupted; the model is never asked."""
    service = serve(**simulator.settings(AGENT_PROGRAM=f"stream_programs:{program}"))
    service.url()
    with _asking(service) as events:
        assert next(event for event in events if event[1] == "tool.started")[2]["tool"] == tool

    stopped = f'agent_tool_calls_total{{outcome="stopped",tool="{tool}"}}'
    wait_until("the tool is stopped", lambda: service.metric(stopped) == 1, seconds=1)
    assert service.metric(CANCELLED) == 1
    _at_rest(service)
    assert simulator.journal() == []


def test_a_reader_that_stops_reading_holds_no_slot(
    serve: Callable[..., Service], simulator: Simulator
) -> None:
    """The run is over when it is over; what its reader does not take waits in the connection."""
    service = serve(**simulator.settings())
    service.url()
    body = json.dumps({"user_id": "ada", "question": "Hello there!"}).encode()
    head = f"POST /api/v1/query/stream HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    with Wire(service, receive_buffer_bytes=4096) as deaf:
        deaf.send(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        wait_until("it is answered", lambda: service.metric('agent_requests_total{status="success"}') == 1)
        _at_rest(service)

    assert len(_history(service)) == 1


def test_a_reader_that_is_too_slow_is_cut_off(serve: Callable[..., Service], simulator: Simulator) -> None:
    """It slows only itself: the memory stays bounded, the others are served, the run is stopped."""
    service = serve(**simulator.settings(AGENT_PROGRAM="stream_programs:talkative"))
    service.url()
    with _asking(service, "warm up") as events:
        list(events)
    process = psutil.Process(service.pid)
    before_bytes = process.memory_info().rss
    body = json.dumps({"user_id": "bob", "question": "Tell me much!"}).encode()
    head = f"POST /api/v1/query/stream HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    with Wire(service, receive_buffer_bytes=4096) as deaf:
        deaf.send(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        wait_until("it runs", lambda: service.metric("agent_pool_in_use") == 1)
        with _asking(service) as events:
            assert [kind for _, kind, _ in events][-1] == "answer"
        wait_until("it is cut off", lambda: service.metric("agent_streams_cut_off_total") == 1, seconds=30)
        _at_rest(service)

    assert process.memory_info().rss - before_bytes < 60_000_000
    assert service.metric(CANCELLED) == 1
    assert service.log("the reader of an event stream is too slow and is cut off")
    assert '"level":"error"' not in service.output


def test_a_deadline_is_the_last_event(serve: Callable[..., Service], simulator: Simulator) -> None:
    """The status was sent; the error is typed all the same, and counted."""
    simulator.behave(latency_seconds=30)
    service = serve(**simulator.settings())
    response = service.client.post(
        "/api/v1/query/stream",
        json={"user_id": "ada", "question": "Hello there!"},
        headers={"X-Request-Timeout": "0.5"},
    )

    *_, (_, kind, problem) = _events(response)
    assert (response.status_code, kind, problem["error"], problem["status"]) == (200, "error", "timeout", 504)
    wait_until("it is counted", lambda: service.metric('agent_errors_total{error="timeout"}') == 1)
    wait_until("the call is closed", lambda: simulator.journal()[0]["outcome"] == "client_gone")


@pytest.mark.parametrize(("grace_seconds", "last"), [("30", "answer"), ("0.3", "error")])
def test_a_stream_in_flight_is_ended_by_a_stop(
    serve: Callable[..., Service], simulator: Simulator, grace_seconds: str, last: str
) -> None:
    """It is finished within the grace, else told why not; the process ends well."""
    simulator.behave(latency_seconds=1.0)
    service = serve(
        **simulator.settings(SHUTDOWN_GRACE_SECS=grace_seconds, AGENT_PROGRAM="own_program:support")
    )
    service.url()
    told: list[tuple[int, str, Any]] = []

    def follow() -> None:
        with _asking(service) as events:
            told.extend(events)

    following = threading.Thread(target=follow)
    following.start()
    wait_until("the model is asked", lambda: len(simulator.journal()) == 1)
    service.signal(signal.SIGTERM)
    following.join(timeout=20)

    assert told[-1][1] == last
    if last == "error":
        assert told[-1][2]["error"] == "shutting_down"
    assert service.status() == 0
