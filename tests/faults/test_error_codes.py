"""``agent_errors_total`` tells every error apart."""

from __future__ import annotations

import re
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.faults.at_rest import PROGRAMS, Asking, write_locked
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.processes import Service, Simulator

HANGING = {"user_id": "ada", "question": "#sim:fault=hang"}
_SAMPLE = re.compile(r'^agent_errors_total\{error="(\w+)"\} (\S+)$', re.MULTILINE)
BY_QUESTION = {
    "raise": "internal_error",
    "#sim:fault=context_length_exceeded": "context_too_long",
    "#sim:fault=429": "upstream_rate_limited",
    "#sim:fault=401": "misconfigured",
    "#sim:fault=insufficient_quota": "misconfigured",
    "#sim:fault=nonsense": "budget_exhausted",
    "#sim:fault=500": "upstream_error",
}
BY_REQUEST: dict[str, tuple[str, str, dict[str, str], bytes]] = {
    "invalid_request": ("POST", "/api/v1/query", {"content-type": "application/json"}, b"{"),
    "unsupported_media_type": ("POST", "/api/v1/query", {"content-type": "text/plain"}, b"{}"),
    "payload_too_large": ("POST", "/api/v1/query", {"content-type": "application/json"}, b" " * 1_100_000),
    "method_not_allowed": ("PUT", "/api/v1/query", {}, b""),
    "not_found": ("GET", "/api/v1/nothing", {}, b""),
}


def _counted(service: Service) -> dict[str, float]:
    exposition = service.client.get("/api/v1/metrics").text
    return {code: float(count) for code, count in _SAMPLE.findall(exposition)}


@contextmanager
def _counts(service: Service, code: str) -> Iterator[None]:
    """Within, one error of this code is counted and none of another."""
    before = _counted(service)
    yield
    wait_until(f"{code} is counted", lambda: _counted(service) != before)
    assert _counted(service) == before | {code: before[code] + 1}


def _refused(response: httpx.Response, code: str) -> None:
    assert response.json()["error"] == code, response.text


@contextmanager
def _busy(service: Service) -> Iterator[Asking]:
    """Within, the only slot is taken by a query that its model leaves hanging for a while."""
    wait_until("the slot is free", lambda: service.metric("agent_pool_in_use") == 0)
    asking = Asking(service, "#sim:latency=1.5", user_id="first")
    wait_until("the slot is busy", lambda: service.metric("agent_pool_in_use") == 1)
    yield asking
    assert asking.answer().status_code == 200


def test_each_error_is_counted_under_its_own_code(
    serve: Callable[..., Service], simulator: Simulator, tmp_path: Path
) -> None:
    """Each kind of failure, provoked from outside, moves its own counter by one and no other."""
    limits = {"AGENT_POOL_SIZE": "1", "AGENT_POOL_QUEUE": "0", "AGENT_MAX_RETRIES": "0"}
    budget = {"AGENT_MAX_LM_CALLS": "1", "CIRCUIT_BREAKER_THRESHOLD": "1", "MEMORY_TIMEOUT_SECS": "0.3"}
    service = serve(**simulator.settings(**PROGRAMS, **limits, **budget))

    for code, (method, path, headers, content) in BY_REQUEST.items():
        with _counts(service, code):
            _refused(service.client.request(method, path, headers=headers, content=content), code)
    for question, code in BY_QUESTION.items():
        # A caller is told of a stop before the work has ended and given back its slot.
        wait_until("the slot is free", lambda: service.metric("agent_pool_in_use") == 0)
        with _counts(service, code):
            _refused(service.ask(question), code)
    with _counts(service, "circuit_breaker_open"):
        _refused(service.ask("hello"), "circuit_breaker_open")
    service.client.post("/api/v1/circuit-breaker/reset").raise_for_status()
    with _counts(service, "timeout"):
        _refused(service.ask("#sim:fault=hang", X_Request_Timeout="0.3"), "timeout")
    with _counts(service, "cancelled"), pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{service.url()}/api/v1/query", json=HANGING, timeout=0.3)
    with _counts(service, "memory_unavailable"), write_locked(tmp_path / "conversations.db"):
        _refused(service.client.delete("/api/v1/users/ada/history"), "memory_unavailable")
    with _busy(service), _counts(service, "pool_exhausted"):
        _refused(service.ask("hello"), "pool_exhausted")
    with _busy(service):
        service.signal(signal.SIGTERM)
        wait_until("it drains", lambda: service.client.get("/api/v1/ready").status_code == 503)
        with _counts(service, "shutting_down"):
            _refused(service.ask("hello"), "shutting_down")
    assert service.status() == 0
