"""Probes and metrics never wait behind queries, whatever the queries wait for (row P5)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.faults.at_rest import ASSETS, Asking
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.processes import Service, Simulator

PROBES = ("/api/v1/live", "/api/v1/ready", "/api/v1/health", "/api/v1/metrics")
ROUNDS = 25
SLOTS = 8
KUBELET_SECONDS = 1.0
"""What a probe of Kubernetes waits by default."""
NAP = (
    "[[ ## next_thought ## ]]\nTired.\n\n[[ ## next_tool_name ## ]]\nnap\n\n"
    "[[ ## next_tool_args ## ]]\n{}\n\n[[ ## completed ## ]]"
)
FLOODING_CONNECTIONS, FLOOD_SECONDS = 200, 4
OFFLINE = {"AGENT_POOL_SIZE": str(SLOTS), "PYTHONPATH": str(ASSETS)}


def _latency_seconds(url: str, path: str) -> float:
    """From connecting, as a kubelet does for each probe, to the last byte of a 200."""
    at = urlsplit(url)
    started = time.monotonic()
    connection = HTTPConnection(at.hostname or "", at.port, timeout=10)
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    connection.close()
    assert response.status == 200, path
    return time.monotonic() - started


def _probe_seconds(service: Service) -> dict[str, list[float]]:
    """How long each probe took, shortest first."""
    url = service.url()
    return {path: sorted(_latency_seconds(url, path) for _ in range(ROUNDS)) for path in PROBES}


def _assert_prompt(latencies: dict[str, list[float]], *, limit_seconds: float = 0.1) -> None:
    for path, seconds in latencies.items():
        assert seconds[int(ROUNDS * 0.95)] < limit_seconds, (path, limit_seconds, seconds[-5:])
        assert seconds[-1] < KUBELET_SECONDS, (path, seconds[-5:])


def _fill(service: Service) -> list[Asking]:
    """A query in every slot."""
    asking = [Asking(service, f"nap {n}", user_id=f"user{n}") for n in range(SLOTS)]
    wait_until("every slot is busy", lambda: service.metric("agent_pool_in_use") == SLOTS)
    return asking


def _statuses(asking: list[Asking]) -> set[int]:
    return {each.answer().status_code for each in asking}


def test_while_every_slot_waits_for_the_model(serve: Callable[..., Service], simulator: Simulator) -> None:
    """A model that hangs holds the queries up and nothing else."""
    simulator.behave(latency_seconds=30)
    service = serve(**simulator.settings(AGENT_POOL_SIZE=str(SLOTS), AGENT_REQUEST_TIMEOUT_SECS="3"))

    asking = _fill(service)

    _assert_prompt(_probe_seconds(service))
    assert _statuses(asking) <= {502, 504}


def test_while_a_blocking_tool_holds_every_slot(serve: Callable[..., Service], simulator: Simulator) -> None:
    """A synchronous tool of the asynchronous agent waits in a thread, not on the event loop."""
    service = serve(**simulator.settings(**OFFLINE, AGENT_TOOLS="isolation_programs:nap"))
    simulator.script(*[NAP] * SLOTS)

    asking = _fill(service)
    wait_until("the tools are called", lambda: len(simulator.journal()) == SLOTS)

    _assert_prompt(_probe_seconds(service))
    assert service.metric("agent_pool_in_use") == SLOTS
    assert _statuses(asking) == {200}
    assert service.metric('agent_tool_calls_total{outcome="success",tool="nap"}') >= SLOTS


@pytest.mark.parametrize("program", ["Blocking", "Crowding"])
def test_while_a_blocking_program_holds_every_slot(serve: Callable[..., Service], program: str) -> None:
    """Neither ``forward`` that sleeps nor a default executor that is full of sleepers delays a probe."""
    service = serve(**OFFLINE, AGENT_PROGRAM=f"isolation_programs:{program}")

    asking = _fill(service)

    _assert_prompt(_probe_seconds(service))
    assert service.metric("agent_pool_in_use") == SLOTS
    for each in asking:
        each.join(timeout=0)
    service.close()


def test_while_200_connections_flood_it_with_queries(
    serve: Callable[..., Service], simulator: Simulator
) -> None:
    """A probe waits for a few refusals to each connection at most, and each refusal is documented.

    It waits for a turn of the event loop to connect and for one to be read, and in a turn each connection
    is refused once. How long that takes is up to the machine.
    """
    simulator.behave(latency_seconds=30)
    limits = {"AGENT_POOL_SIZE": str(SLOTS), "AGENT_REQUEST_TIMEOUT_SECS": "6"}
    service = serve(**simulator.settings(**limits, CIRCUIT_BREAKER_THRESHOLD="1000"))
    at = urlsplit(service.url())
    flooding = [str(at.hostname), str(at.port), str(FLOODING_CONNECTIONS), str(FLOOD_SECONDS)]
    command = [sys.executable, str(ASSETS / "flood.py"), *flooding]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as flood:
        wait_until(
            "it is flooded", lambda: service.metric('agent_errors_total{error="pool_exhausted"}') > 400
        )

        latencies = _probe_seconds(service)

        assert flood.poll() is None
        statuses: dict[str, int] = json.loads(flood.communicate(timeout=30)[0])
    turn_seconds = FLOOD_SECONDS * FLOODING_CONNECTIONS / sum(statuses.values())
    _assert_prompt(latencies, limit_seconds=max(0.1, 3 * turn_seconds))
    assert statuses.keys() <= {"409", "429", "502", "503", "504"}
    simulator.heal()
    assert service.ask("What is 2+2?").status_code == 200
