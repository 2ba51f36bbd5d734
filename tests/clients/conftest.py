"""The service that clients nobody here wrote are pointed at: one for all tests of a module."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.processes import Service, Simulator, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CANCELLED = 'agent_errors_total{error="cancelled"}'


class Backend:
    """A service before a simulated model; what a test does to them ends with it."""

    def __init__(self, folder: Path) -> None:
        self.simulator = Simulator(folder)
        settings = self.simulator.settings(AGENT_MAX_RETRIES="0", CIRCUIT_BREAKER_THRESHOLD="1")
        self.service = Service(folder, **settings)
        self.base_url = f"{self.service.url()}/v1"

    @contextmanager
    def writing_slowly(self, tokens_per_second: float) -> Iterator[None]:
        """Within, answers come word by word."""
        self.simulator.behave(tokens_per_second=tokens_per_second)
        try:
            yield
        finally:
            self.simulator.heal()

    @contextmanager
    def breaker_open(self) -> Iterator[None]:
        """Within, every query is refused."""
        self.simulator.behave(faults=[{"kind": "500"}])
        while self.service.ask("What is 2+2?").json()["error"] != "circuit_breaker_open":
            pass
        try:
            yield
        finally:
            self.simulator.heal()
            self.service.client.post("/api/v1/circuit-breaker/reset").raise_for_status()

    @contextmanager
    def stopping_a_run(self) -> Iterator[None]:
        """Within, a client leaves; afterwards its run has ended and its slot is free."""
        before = self.service.metric(_CANCELLED)
        yield
        wait_until("the run is stopped", lambda: self.service.metric(_CANCELLED) == before + 1, seconds=5)
        wait_until("the slot is free", lambda: self.service.metric("agent_pool_in_use") == 0, seconds=5)

    def close(self) -> None:
        """End both processes."""
        self.service.close()
        self.simulator.close()


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """Started once."""
    with ExitStack() as stack:
        backend = Backend(tmp_path_factory.mktemp("backend"))
        stack.callback(backend.close)
        yield backend
