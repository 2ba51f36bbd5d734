"""How the service is: the health report, readiness, and the reset lever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.core.health import Health, HealthCheck
from agent_service.runtime.base import OK, HealthReport, ServiceInfo
from agent_service.runtime.lifecycle import Phase
from agent_service.runtime.memory_check import MemoryCheck

if TYPE_CHECKING:
    from agent_service.core.clock import Clock
    from agent_service.core.pool import Pool
    from agent_service.memory.base import ConversationStore
    from agent_service.programs.served import ServedPrograms
    from agent_service.runtime.lifecycle import Lifecycle
    from agent_service.runtime.runner import Runner

SERVICE_NAME = "agent-service"
_SEVERITY = ("closed", "half_open", "open")


class ServiceVitals:
    """Vitals of the wired service; see ``Vitals``."""

    def __init__(
        self,
        *,
        version: str,
        programs: ServedPrograms,
        store: ConversationStore,
        pool: Pool,
        runner: Runner,
        lifecycle: Lifecycle,
        clock: Clock,
    ) -> None:
        self._version = version
        self._programs = programs
        self._pool = pool
        self._runner = runner
        self._lifecycle = lifecycle
        self._clock = clock
        self._started = clock.monotonic()
        checks: dict[str, HealthCheck] = {
            "python_runtime": self._check_runtime,
            "agent_pool": self._check_pool,
            "circuit_breaker": self._check_breaker,
            "memory": MemoryCheck(store=store, clock=clock),
        }
        self._health = Health(checks, clock=clock)

    def __repr__(self) -> str:
        return f"<ServiceVitals {self.not_ready_because() or 'ready'}, breaker {self.breaker_state()}>"

    async def health(self) -> HealthReport:
        """Run all checks; none of them waits for anything that queries wait for."""
        checks = await self._health.report()
        return HealthReport(
            status=_status(checks, self.breaker_state()),
            version=self._version,
            uptime_seconds=self._clock.monotonic() - self._started,
            agent_pool_size=self._pool.stats.size,
            circuit_breaker_state=self.breaker_state(),
            model=self._programs.default.spec.model,
            checks=checks,
        )

    def not_ready_because(self) -> str | None:
        """Why no query should be sent here, or None when ready."""
        if self._lifecycle.phase is not Phase.READY:
            return str(self._lifecycle.phase.value)
        every_slot_is_lost = self._runner.abandoned >= self._pool.stats.size
        return "no agents available" if every_slot_is_lost else None

    def info(self) -> ServiceInfo:
        """What runs here."""
        spec, names = self._programs.default.spec, tuple(each.name for each in self._programs.specs)
        return ServiceInfo(SERVICE_NAME, self._version, program=spec.name, model=spec.model, programs=names)

    def breaker_state(self) -> str:
        """The worst state among the programs' upstreams."""
        states = [upstream.state for upstream in self._programs.upstreams()]
        return max(states, key=_SEVERITY.index, default="closed")

    def reset_circuit_breaker(self) -> str:
        """Close the breakers by hand; returns the state afterwards."""
        self._programs.reset_upstreams()
        return self.breaker_state()

    async def _check_runtime(self) -> str:
        return OK

    async def _check_pool(self) -> str:
        reason = self.not_ready_because()
        return OK if reason is None else f"failed: {reason}"

    async def _check_breaker(self) -> str:
        state = self.breaker_state()
        return OK if state == "closed" else state


def _status(checks: dict[str, str], breaker_state: str) -> str:
    if checks["agent_pool"] != OK or breaker_state == "open":
        return "unhealthy"
    return "healthy" if all(result == OK for result in checks.values()) else "degraded"
