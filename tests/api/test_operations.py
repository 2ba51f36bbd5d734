"""What operators and orchestrators are told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import httpx

    from tests.api.conftest import Service


@pytest.mark.parametrize(("status", "code"), [("healthy", 200), ("degraded", 200), ("unhealthy", 503)])
async def test_health_has_exactly_the_fields_of_the_contract(
    service: Service, client: httpx.AsyncClient, status: str, code: int
) -> None:
    """The report comes as the contract says; only unhealthy takes a replica away."""
    checks = {"python_runtime": "ok", "agent_pool": "ok", "circuit_breaker": "open", "memory": "ok"}
    service.vitals.report = replace(service.vitals.report, status=status, checks=checks)

    response = await client.get("/api/v1/health")

    assert response.status_code == code
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "status": status,
        "version": "1.2.3",
        "uptime_seconds": 12.5,
        "agent_pool_size": 4,
        "circuit_breaker_state": "closed",
        "model": "fake-model",
        "checks": checks,
    }


async def test_live_does_not_depend_on_anything(service: Service, client: httpx.AsyncClient) -> None:
    """A process that answers is alive, however unwell."""
    service.vitals.reason = "draining"
    service.vitals.report = replace(service.vitals.report, status="unhealthy")

    response = await client.get("/api/v1/live")

    assert (response.status_code, response.json()) == (200, {"status": "alive"})


async def test_ready_says_why_not(service: Service, client: httpx.AsyncClient) -> None:
    """Readiness is 200, or 503 with the reason."""
    ready = await client.get("/api/v1/ready")
    service.vitals.reason = "draining"
    draining = await client.get("/api/v1/ready")

    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
    assert (draining.status_code, draining.json()) == (503, {"status": "not_ready", "reason": "draining"})


async def test_metrics_are_passed_on_as_they_are(client: httpx.AsyncClient) -> None:
    """Text and content type are the exposition's own."""
    response = await client.get("/api/v1/metrics")

    assert response.content == b"agent_pool_size 4.0\n"
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


async def test_metrics_come_in_the_format_that_is_asked_for(service: Service) -> None:
    """The header goes to the metrics as it came."""

    async def expose(accept: str) -> tuple[bytes, str]:
        return accept.encode(), "text/plain"

    async with service.client(expose_metrics=expose) as client:
        response = await client.get("/api/v1/metrics", headers={"Accept": "application/openmetrics-text"})
    assert response.text == "application/openmetrics-text"


async def test_info_names_what_runs_and_where_to_ask(client: httpx.AsyncClient) -> None:
    """Info tells name, version, program, model and every endpoint."""
    body = (await client.get("/api/v1/info")).json()

    assert "POST /api/v1/query" in body.pop("endpoints")
    assert body == {
        "name": "agent-service",
        "version": "1.2.3",
        "program": "fake",
        "programs": ["fake"],
        "model": "fake-model",
    }


async def test_the_breaker_is_closed_by_hand(service: Service, client: httpx.AsyncClient) -> None:
    """The lever is pulled once and the state afterwards is told."""
    response = await client.post("/api/v1/circuit-breaker/reset")

    assert (response.status_code, response.json()) == (200, {"circuit_breaker_state": "closed"})
    assert service.vitals.resets == 1
