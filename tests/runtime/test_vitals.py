"""How the service says it is: the health report, readiness, what runs here, and the lever."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from agent_service.core.errors import CircuitBreakerOpenError
from agent_service.core.pool import PoolOptions
from agent_service.memory.base import unavailable
from agent_service.programs.base import Upstream
from agent_service.runtime.base import HealthReport, ServiceInfo
from agent_service.runtime.lifecycle import Lifecycle
from agent_service.runtime.vitals import ServiceVitals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from agent_service.core.run import Run
    from tests.runtime.conftest import Service

WELL = {"python_runtime": "ok", "agent_pool": "ok", "circuit_breaker": "ok", "memory": "ok"}


class Patient:
    """A service with two slots, its lifecycle and its vitals."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.lifecycle = Lifecycle(
            store=service.store, programs=service.programs, runner=service.runner, clock=service.clock
        )
        self.vitals = ServiceVitals(
            version="1.2.3",
            programs=service.programs,
            store=service.store,
            pool=service.pool,
            runner=service.runner,
            lifecycle=self.lifecycle,
            clock=service.clock,
        )

    def upstreams_are(self, *states: str) -> None:
        """The breakers of the program's models."""
        upstreams = tuple(Upstream(f"model-{number}", state) for number, state in enumerate(states))
        self.service.program.upstreams = lambda: upstreams  # type: ignore[method-assign] # the double has one

    async def abandon(self, count: int, released: asyncio.Future[object]) -> None:
        """``count`` queries end and leave a thread behind that works until ``released``."""

        async def leaving_a_thread(run: Run) -> str:
            run.hold_for(released)
            return "done"

        self.service.script = leaving_a_thread
        for number in range(count):
            await self.service.begin(f"q{number}")


@pytest.fixture
async def patient(open_service: Callable[..., Awaitable[Service]]) -> Patient:
    """A service that is not started yet."""
    return Patient(await open_service(pool=PoolOptions(size=2)))


@pytest.fixture
async def ready(patient: Patient) -> AsyncIterator[Patient]:
    """A service that is up and well."""
    async with patient.lifecycle.running():
        yield patient


async def store_is_down(user: str) -> None:
    """A store that fails."""
    raise unavailable("The conversation store is gone.")


async def store_hangs(user: str) -> None:
    """A store that does not answer."""
    await asyncio.Event().wait()


async def health_of(patient: Patient) -> tuple[str, dict[str, str]]:
    """Status, and the checks that say something else than ok."""
    report = await patient.vitals.health()
    assert list(report.checks) == list(WELL)
    return report.status, {name: said for name, said in report.checks.items() if said != "ok"}


async def test_a_service_that_is_well_says_so(ready: Patient) -> None:
    """The report has every field of the contract."""
    ready.service.clock.advance(12.5)
    assert await ready.vitals.health() == HealthReport(
        status="healthy",
        version="1.2.3",
        uptime_seconds=12.5,
        agent_pool_size=2,
        circuit_breaker_state="closed",
        model="scripted-model",
        checks=WELL,
    )
    assert ready.vitals.not_ready_because() is None


async def test_it_knows_what_runs_here(patient: Patient) -> None:
    """Name and version of the service, name and model of the program."""
    assert patient.vitals.info() == ServiceInfo(
        "agent-service", "1.2.3", "scripted", "scripted-model", ("scripted",)
    )


async def test_a_store_that_fails_degrades(ready: Patient) -> None:
    """Taking the replica away does not mend a store, so it stays ready."""
    ready.service.store.before_ping = store_is_down
    assert await health_of(ready) == ("degraded", {"memory": "failed: The conversation store is gone."})
    assert ready.vitals.not_ready_because() is None


async def health_within(patient: Patient, seconds: float) -> HealthReport:
    """The report, which is there when so much time has passed."""
    asking = asyncio.create_task(patient.vitals.health())
    await patient.service.settle()
    patient.service.clock.advance(seconds)
    await patient.service.settle()
    assert asking.done()
    return await asking


async def test_nobody_who_asks_waits_for_a_store_that_hangs(ready: Patient) -> None:
    """The report is there within 0.1 s; that the store hangs is in it once that is certain."""
    ready.service.store.before_ping = store_hangs
    assert (await health_within(ready, 0.09)).status == "healthy"
    ready.service.clock.advance(1.0)
    await ready.service.settle()
    report = await health_within(ready, 0.09)
    assert (report.status, report.checks["memory"]) == ("degraded", "failed: no answer within 1 s")
    assert ready.vitals.not_ready_because() is None


async def test_probes_wait_for_nothing_that_queries_hold(ready: Patient) -> None:
    """With every slot busy, queries queued, the store hanging in reads and the default executor full."""
    service, released, loop = ready.service, threading.Event(), asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(1))
    filling = [loop.run_in_executor(None, released.wait) for _ in range(3)]
    service.store.before_read = store_hangs
    asked = [await service.begun(f"q{number}") for number in range(4)]
    try:
        assert (service.pool.stats.in_use, service.pool.stats.waiting) == (2, 2)
        assert await health_of(ready) == ("healthy", {})
        assert ready.vitals.not_ready_because() is None
    finally:
        released.set()
        await asyncio.gather(*filling)
        for task in asked:
            task.cancel()


async def test_an_open_breaker_is_unhealthy_but_ready(ready: Patient) -> None:
    """Load balancers see the 503 of the report; probes do not take the replica away."""
    ready.upstreams_are("open")
    assert await health_of(ready) == ("unhealthy", {"circuit_breaker": "open"})
    assert ready.vitals.not_ready_because() is None


async def test_a_breaker_that_probes_is_degraded(ready: Patient) -> None:
    """Some queries get through."""
    ready.upstreams_are("half_open")
    assert await health_of(ready) == ("degraded", {"circuit_breaker": "half_open"})
    assert ready.vitals.not_ready_because() is None


@pytest.mark.parametrize(
    ("states", "worst"),
    [
        ((), "closed"),
        (("closed", "closed"), "closed"),
        (("closed", "half_open"), "half_open"),
        (("half_open", "open", "closed"), "open"),
        (("open", "half_open"), "open"),
    ],
)
def test_the_worst_breaker_speaks_for_all(patient: Patient, states: tuple[str, ...], worst: str) -> None:
    """A program with several models is as well as the one that fares worst."""
    patient.upstreams_are(*states)
    assert patient.vitals.breaker_state() == worst


async def test_the_lever_closes_the_breakers(ready: Patient) -> None:
    """After a reset queries are admitted, and the state it returns is the one that holds."""
    ready.service.program.refused_with = CircuitBreakerOpenError()
    assert ready.vitals.breaker_state() == "open"

    assert ready.vitals.reset_circuit_breaker() == "closed"
    assert (await ready.service.begin()).stored
    assert await health_of(ready) == ("healthy", {})


async def test_without_a_usable_slot_it_is_unhealthy_and_not_ready(ready: Patient) -> None:
    """When every slot is held by work that nobody waits for, queries are better sent elsewhere."""
    released: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    await ready.abandon(1, released)
    assert ready.vitals.not_ready_because() is None
    await ready.abandon(1, released)

    assert ready.vitals.not_ready_because() == "no agents available"
    assert await health_of(ready) == ("unhealthy", {"agent_pool": "failed: no agents available"})
    released.set_result(None)
    await ready.service.settle()
    assert await health_of(ready) == ("healthy", {})
    assert ready.vitals.not_ready_because() is None


async def test_a_busy_pool_is_a_healthy_one(ready: Patient) -> None:
    """Slots that callers wait for are work, not damage."""
    ready.service.script = ready.service.hang
    for number in range(4):
        await ready.service.begun(f"q{number}")
    assert ready.service.pool.stats.waiting == 2
    assert await health_of(ready) == ("healthy", {})
    assert ready.vitals.not_ready_because() is None


async def test_while_it_starts_it_is_not_ready(patient: Patient) -> None:
    """Before its parts are up no query should come, and the report says why."""
    assert patient.vitals.not_ready_because() == "starting"
    assert await health_of(patient) == ("unhealthy", {"agent_pool": "failed: starting"})
    assert repr(patient.vitals) == "<ServiceVitals starting, breaker closed>"


async def test_while_it_drains_it_is_not_ready(ready: Patient) -> None:
    """A process on its way out is taken from the load balancer."""
    assert repr(ready.vitals) == "<ServiceVitals ready, breaker closed>"
    ready.lifecycle.begin_drain()
    assert ready.vitals.not_ready_because() == "draining"
    assert await health_of(ready) == ("unhealthy", {"agent_pool": "failed: draining"})


async def test_when_it_has_stopped_it_is_not_ready(patient: Patient) -> None:
    """A probe that comes last of all is told the truth."""
    async with patient.lifecycle.running():
        pass
    assert patient.vitals.not_ready_because() == "stopped"
