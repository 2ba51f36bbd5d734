"""Honest refusals: a failing model, a full pool, requests that cannot be read."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.processes import Service, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tests.processes import Simulator

ROOT = Path(__file__).parents[2]
VALID = {"user_id": "ada", "question": "What is 2+2?"}


def test_five_failures_open_the_breaker_and_successful_probes_close_it(
    serve: Callable[..., Service], simulator: Simulator
) -> None:
    """While it is open nobody waits and the model is left alone; health says so with 503."""
    simulator.behave(faults=[{"kind": "500"}])
    service = serve(**simulator.settings(AGENT_MAX_RETRIES="0", CIRCUIT_BREAKER_TIMEOUT_SECS="1"))
    for _ in range(5):
        failed = service.ask("What is 2+2?")
        assert (failed.status_code, failed.json()["error"]) == (502, "upstream_error")
    called = len(simulator.journal())
    service.client.get("/api/v1/live")

    started = time.monotonic()
    refused = service.ask("What is 2+2?")

    assert time.monotonic() - started < 0.05
    assert (refused.status_code, refused.json()["error"]) == (503, "circuit_breaker_open")
    assert int(refused.headers["retry-after"]) >= 1
    assert len(simulator.journal()) == called == 5
    health = service.client.get("/api/v1/health")
    assert health.status_code == 503
    assert health.json()["status"] == "unhealthy"
    assert health.json()["circuit_breaker_state"] == "open"
    assert health.json()["checks"]["circuit_breaker"] == "open"
    assert service.client.get("/api/v1/ready").status_code == 200
    assert service.metric("circuit_breaker_state") == 1
    simulator.heal()
    wait_until("the breaker lets a probe through", lambda: service.ask("What is 2+2?").status_code == 200)
    wait_until("it is closed", lambda: service.metric("circuit_breaker_state") == 0)
    assert service.client.get("/api/v1/health").json()["status"] == "healthy"


def test_the_breaker_can_be_closed_by_hand(serve: Callable[..., Service], simulator: Simulator) -> None:
    """An operator who knows that the model is back need not wait."""
    simulator.behave(faults=[{"kind": "500"}])
    service = serve(**simulator.settings(AGENT_MAX_RETRIES="0", CIRCUIT_BREAKER_THRESHOLD="1"))
    service.ask("What is 2+2?")
    assert service.ask("What is 2+2?").json()["error"] == "circuit_breaker_open"
    simulator.heal()

    reset = service.client.post("/api/v1/circuit-breaker/reset")

    assert reset.json()["circuit_breaker_state"] == "closed"
    assert service.ask("What is 2+2?").status_code == 200


def test_the_second_query_is_refused_when_there_is_one_slot_and_no_queue(
    serve: Callable[..., Service], simulator: Simulator
) -> None:
    """Work is bounded; what does not fit is told so at once, and the slot serves the next."""
    simulator.behave(latency_seconds=1)
    service = serve(**simulator.settings(AGENT_POOL_SIZE="1", AGENT_POOL_QUEUE="0"))
    service.url()
    answers: list[httpx.Response] = []
    first = threading.Thread(target=lambda: answers.append(service.ask("What is 2+2?")))
    first.start()
    wait_until("the first runs", lambda: service.metric("agent_pool_in_use") == 1)

    refused = service.ask("What is 2+2?", user_id="bob")

    assert (refused.status_code, refused.json()["error"]) == (503, "pool_exhausted")
    assert int(refused.headers["retry-after"]) >= 1
    first.join(timeout=20)
    assert answers[0].status_code == 200
    simulator.heal()
    assert service.ask("What is 2+2?").status_code == 200
    assert service.metric('agent_errors_total{error="pool_exhausted"}') == 1


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One service for all the requests that are refused before they reach an agent."""
    service = Service(tmp_path_factory.mktemp("offline"))
    yield service
    service.close()


JSON = {"content-type": "application/json"}
SOON = {**JSON, "x-request-timeout": "soon"}


def _with(**fields: Any) -> bytes:
    return json.dumps({**VALID, **fields}).encode()


@pytest.mark.parametrize(
    ("body", "headers", "status", "error", "named"),
    [
        (b'{"user_id": "ada", ', JSON, 400, "invalid_request", ""),
        (b"", JSON, 400, "invalid_request", ""),
        (b'{"user_id": "\xff", "question": "x"}', JSON, 400, "invalid_request", ""),
        (b"[" * 100_000, JSON, 400, "invalid_request", ""),
        (b'["a"]', JSON, 422, "invalid_request", ""),
        (_with(user_id=7), JSON, 422, "invalid_request", "user_id"),
        (_with(question=""), JSON, 422, "invalid_request", "question"),
        (
            _with(question="x" * 1_000_000),
            JSON,
            422,
            "invalid_request",
            "question",
        ),
        (_with(model="x"), JSON, 422, "invalid_request", "model"),
        (json.dumps({"user_id": "ada"}).encode(), JSON, 422, "invalid_request", "question"),
        (json.dumps(VALID).encode(), {"content-type": "text/plain"}, 415, "unsupported_media_type", ""),
        (_with(question="x" * 1_200_000), JSON, 413, "payload_too_large", ""),
        (
            json.dumps(VALID).encode(),
            {**JSON, "x-request-timeout": "soon"},
            422,
            "invalid_request",
            "timeout",
        ),
    ],
)
def test_what_cannot_be_accepted_is_refused_with_its_reason(
    offline: Service, body: bytes, headers: dict[str, str], status: int, error: str, named: str
) -> None:
    """Each wrong request gets the contract's error, names the field, and the service goes on."""
    refused = offline.client.post("/api/v1/query", content=body, headers=headers)

    problem = refused.json()
    assert (refused.status_code, problem["error"]) == (status, error)
    assert refused.headers["content-type"] == "application/problem+json"
    assert problem["request_id"] == refused.headers["x-request-id"]
    assert named in str(problem.get("errors", "")).lower()
    assert offline.ask("What is 2+2?").status_code == 200


def test_unknown_paths_and_methods_are_problems_too(offline: Service) -> None:
    """404 and 405 look like every other error, and 405 says what is allowed."""
    missing = offline.client.get("/api/v1/nothing")
    wrong = offline.client.get("/api/v1/query")

    assert (missing.status_code, missing.json()["error"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["error"]) == (405, "method_not_allowed")
    assert "POST" in wrong.headers["allow"]


def test_promtool_accepts_the_exposition_of_a_service_that_worked(offline: Service) -> None:
    """Prometheus' own checker finds nothing to complain about."""
    offline.ask("What is 2+2?")
    promtool = subprocess.run(
        [ROOT / "scripts" / "get-promtool"], check=True, capture_output=True, text=True
    ).stdout.strip()

    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=offline.client.get("/api/v1/metrics").text,
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_no_question_answer_or_key_is_in_the_log(offline: Service) -> None:
    """Whoever reads the logs at night learns what happened, not what was said."""
    offline.ask("What is 31337+1? sk-verysecretkey0123456789", X_Request_ID="at-night")

    wait_until("the query is logged", lambda: any("at-night" in line for line in offline.lines))

    [line] = [line for line in offline.log("query") if line["request_id"] == "at-night"]
    assert line["outcome"] == "success"
    assert line["steps"] == 1
    assert line["tools"] == ["calculator"]
    assert "31337" not in offline.output
    assert "31338" not in offline.output
    assert "verysecret" not in offline.output
