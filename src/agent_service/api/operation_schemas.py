"""The shapes of what operators are told: health, probes, what runs here."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from agent_service.api.schemas import answer_like


class Health(BaseModel):
    """How the service is, for people and load balancers."""

    model_config = answer_like(
        status="healthy",
        version="0.1.0",
        uptime_seconds=86400.5,
        agent_pool_size=64,
        circuit_breaker_state="closed",
        model="openai/gpt-4o-mini",
        checks={"python_runtime": "ok", "agent_pool": "ok", "circuit_breaker": "ok", "memory": "ok"},
    )

    status: Annotated[str, Field(description="healthy, degraded or unhealthy.")]
    version: str
    uptime_seconds: float
    agent_pool_size: int
    circuit_breaker_state: Annotated[str, Field(description="closed, open or half_open.")]
    model: str
    checks: Annotated[dict[str, str], Field(description='"ok", or what is wrong, by check.')]


class Live(BaseModel):
    """The event loop turns."""

    model_config = answer_like(status="alive")

    status: str = "alive"


class Ready(BaseModel):
    """Queries may be sent here."""

    model_config = answer_like(status="ready")

    status: str = "ready"


class NotReady(BaseModel):
    """Queries should be sent elsewhere for now."""

    model_config = answer_like(status="not_ready", reason="draining")

    status: str = "not_ready"
    reason: str


class Info(BaseModel):
    """What runs here."""

    model_config = answer_like(
        name="agent-service",
        version="0.1.0",
        program="default",
        programs=["default"],
        model="openai/gpt-4o-mini",
        endpoints=["POST /api/v1/query", "GET /api/v1/health"],
    )

    name: str
    version: str
    program: Annotated[str, Field(description="The default program.")]
    programs: Annotated[list[str], Field(description="All programs, the default first.")]
    model: str
    endpoints: Annotated[list[str], Field(description="Method and path of each endpoint.")]


class BreakerReset(BaseModel):
    """Where the circuit breaker stands after the reset."""

    model_config = answer_like(circuit_breaker_state="closed")

    circuit_breaker_state: str
