"""A stop that stops: callers who leave, deadlines that pass, signals."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.processes import Service, Simulator


@pytest.mark.parametrize("program", ["", "own_program:support"])
def test_no_lm_call_goes_on_or_begins_after_the_deadline(
    serve: Callable[..., Service], simulator: Simulator, program: str
) -> None:
    """The caller gets 504 in time, the provider sees its connection closed and is not asked again."""
    simulator.behave(latency_seconds=30)
    service = serve(**simulator.settings(AGENT_PROGRAM=program))
    service.url()
    started = time.monotonic()

    response = service.ask("What is 2+2?", X_Request_Timeout="0.5")

    assert response.status_code == 504
    assert response.json()["error"] == "timeout"
    assert time.monotonic() - started < 2.5
    wait_until("the call is closed", lambda: simulator.journal()[0]["outcome"] == "client_gone")
    wait_until("the slot is free", lambda: service.metric("agent_pool_in_use") == 0)
    simulator.heal()
    assert service.ask("What is 2+2?").status_code == 200
    assert [entry["outcome"] for entry in simulator.journal()][:2] == ["client_gone", "answered"]


@pytest.mark.parametrize("program", ["", "own_program:support"])
def test_a_caller_who_hangs_up_stops_the_run(
    serve: Callable[..., Service], simulator: Simulator, program: str
) -> None:
    """The LM call in flight is closed within a second, none begins, nothing is stored."""
    simulator.behave(latency_seconds=30)
    service = serve(**simulator.settings(AGENT_PROGRAM=program))
    url = service.url()

    with pytest.raises(httpx.ReadTimeout), httpx.Client(base_url=url, timeout=1.0) as client:
        client.post("/api/v1/query", json={"user_id": "ada", "question": "What is 2+2?"})

    wait_until("the call is closed", lambda: simulator.journal()[0]["outcome"] == "client_gone", seconds=1.0)
    wait_until("the slot is free", lambda: service.metric("agent_pool_in_use") == 0)
    assert len(simulator.journal()) == 1
    assert service.client.get("/api/v1/users/ada/history").json()["turns"] == []
    assert service.metric('agent_errors_total{error="cancelled"}') == 1
    assert service.metric("circuit_breaker_state") == 0


def test_sigterm_drains(serve: Callable[..., Service], simulator: Simulator) -> None:
    """Ready turns 503, new queries are refused as shutting_down, the one in flight is answered, status 0."""
    simulator.behave(latency_seconds=0.7)
    service = serve(**simulator.settings())
    service.ask("What is 1+1?")
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(service.ask("What is 2+2?", user_id="bob")))
    asking.start()
    with httpx.Client(base_url=service.url(), timeout=5.0) as other:
        wait_until("the query runs", lambda: service.metric("agent_pool_in_use") == 1)

        service.signal(signal.SIGTERM)

        wait_until("it is not ready", lambda: other.get("/api/v1/ready").status_code == 503)
        refused = other.post("/api/v1/query", json={"user_id": "eve", "question": "hello"})
        assert refused.status_code == 503
        assert refused.json()["error"] == "shutting_down"
        assert int(refused.headers["retry-after"]) >= 1
        assert other.get("/api/v1/live").status_code == 200
    asking.join(timeout=20)
    assert answers[0].status_code == 200
    assert answers[0].json()["stored"] is True
    assert service.status() == 0


def test_a_second_signal_forces(serve: Callable[..., Service], simulator: Simulator) -> None:
    """Whoever signals twice does not wait for the grace; the status is 0 all the same."""
    simulator.behave(latency_seconds=30)
    service = serve(**simulator.settings())
    service.url()
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(service.ask("What is 2+2?")))
    asking.start()
    wait_until("the model is asked", lambda: len(simulator.journal()) == 1)
    service.signal(signal.SIGINT)
    signalled = time.monotonic()
    wait_until("a second signal is no echo of the first", lambda: time.monotonic() > signalled + 0.3)
    started = time.monotonic()

    service.signal(signal.SIGINT)

    assert service.status(seconds=10) == 0
    assert time.monotonic() - started < 8
    asking.join(timeout=10)
    wait_until("the call is closed", lambda: simulator.journal()[0]["outcome"] == "client_gone")


def test_the_grace_ends_what_does_not_finish(serve: Callable[..., Service], simulator: Simulator) -> None:
    """After SHUTDOWN_GRACE_SECS the queries in flight are stopped and told so."""
    simulator.behave(latency_seconds=30)
    service = serve(**simulator.settings(SHUTDOWN_GRACE_SECS="1"))
    service.url()
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(service.ask("What is 2+2?")))
    asking.start()
    wait_until("the model is asked", lambda: len(simulator.journal()) == 1)

    service.signal(signal.SIGTERM)

    assert service.status(seconds=15) == 0
    asking.join(timeout=10)
    assert answers[0].status_code == 503
    assert answers[0].json()["error"] == "shutting_down"
