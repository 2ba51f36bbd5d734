"""Vitals of one process among several: what is changed by hand is changed in all."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_service.core.siblings import Facts, Siblings
    from agent_service.runtime.base import HealthReport, ServiceInfo, Vitals

_RESET = "reset_circuit_breaker"


class SharedVitals:
    """The ``vitals`` of this process; see ``Vitals``."""

    def __init__(self, vitals: Vitals, *, siblings: Siblings) -> None:
        self._vitals = vitals
        self._siblings = siblings
        siblings.answer_with(_RESET, self._follow)

    def __repr__(self) -> str:
        return f"<SharedVitals {self._vitals!r}>"

    async def health(self) -> HealthReport:
        """How this process is."""
        return await self._vitals.health()

    def not_ready_because(self) -> str | None:
        """Why no query should be sent to this process, or None."""
        return self._vitals.not_ready_because()

    def info(self) -> ServiceInfo:
        """What runs here."""
        return self._vitals.info()

    def reset_circuit_breaker(self) -> str:
        """Close the breakers of all processes; returns the state of this one's."""
        self._siblings.post(_RESET, {})
        return self._vitals.reset_circuit_breaker()

    async def _follow(self, _: Facts) -> Facts:
        return {"state": self._vitals.reset_circuit_breaker()}
