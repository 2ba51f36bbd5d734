from __future__ import annotations

import asyncio
from dataclasses import dataclass

from agent_service.runtime.base import HealthReport, ServiceInfo
from agent_service.runtime.shared_vitals import SharedVitals
from tests.siblings import two


@dataclass
class Patient:
    """One process' vitals."""

    state: str = "open"

    async def health(self) -> HealthReport:
        return HealthReport("unhealthy", "1", 1.0, 4, self.state, "model", {})

    def not_ready_because(self) -> str | None:
        return "starting"

    def info(self) -> ServiceInfo:
        return ServiceInfo("service", "1", "program", "model", ("program",))

    def reset_circuit_breaker(self) -> str:
        self.state = "closed"
        return self.state


async def test_a_reset_reaches_the_siblings() -> None:
    """The operator cannot choose which process hears it; the answer is that one's state."""
    asked, other = Patient(), Patient()
    asked_line, other_line = two()
    shared = SharedVitals(asked, siblings=asked_line)
    SharedVitals(other, siblings=other_line)
    assert shared.reset_circuit_breaker() == "closed"
    await asyncio.sleep(0)
    assert (asked.state, other.state) == ("closed", "closed")


async def test_the_rest_is_the_process_s_own() -> None:
    """A probe asks the process that it meets."""
    patient = Patient()
    shared = SharedVitals(patient, siblings=two()[0])
    assert await shared.health() == await patient.health()
    assert (shared.not_ready_because(), shared.info()) == ("starting", patient.info())
