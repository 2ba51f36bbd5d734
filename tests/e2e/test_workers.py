"""Several processes behind one port: replaced when they crash, renewed without loss, stopped as one."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from tests.e2e.worker_load import Load
from tests.faults.at_rest import Asking, turns
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.processes import Service, Simulator

SETTINGS = {
    "SERVER_WORKERS": "2",
    "AGENT_PROGRAM": "worker_program:Telling",
    "CONVERSATION_POLICY": "parallel",  # else a client waits for the turn that its killed worker had
}
CLIENTS = 8


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """The file that says which version of the program is deployed."""
    path = tmp_path / "version.txt"
    path.write_text("1", encoding="utf-8")
    return path


def _workers(service: Service) -> list[psutil.Process]:
    return psutil.Process(service.pid).children()


def _metric(service: Service, sample: str) -> float:
    """One sample, over a connection of its own; a worker that dies under it is asked for again."""
    for _ in range(20):
        try:
            text = httpx.get(f"{service.url()}/api/v1/metrics", timeout=10).text
        except httpx.TransportError:
            continue
        found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0
    raise AssertionError("no worker answers")


def _both_serve(service: Service) -> None:
    service.url()
    wait_until("both serve", lambda: _metric(service, "agent_workers") == 2)


def _breakers(service: Service) -> set[str]:
    """The states that the workers tell of themselves, over many connections."""
    reports = [httpx.get(f"{service.url()}/api/v1/health", timeout=10).json() for _ in range(20)]
    return {report["circuit_breaker_state"] for report in reports}


def _queries(service: Service) -> float:
    return sum(
        _metric(service, f'agent_requests_total{{status="{status}"}}') for status in ("success", "failure")
    )


@pytest.mark.usefixtures("version")
def test_all_workers_answer_on_one_port_and_count_together(serve: Callable[..., Service]) -> None:
    """Whichever worker is asked, the metrics are those of all; each line of the log says its process."""
    service = serve(**SETTINGS)
    _both_serve(service)
    with Load(service.url(), clients=CLIENTS) as load:
        wait_until("both have answered", lambda: len(load.pids) == 2)

    assert set(load.pids) == {worker.pid for worker in _workers(service)}
    assert set(load.outcomes) == {200}
    for _ in range(10):
        assert _queries(service) == load.answered
    assert _metric(service, "agent_pool_size") == 2 * 64
    assert _metric(service, "agent_build_info{") == 0
    assert len(service.log(f"listening on {service.url()}")) == 1
    queries = [line["pid"] for line in service.log("query")]
    assert set(queries) == set(load.pids)
    assert all("pid" in line for line in service.log("the service is ready"))


@pytest.mark.usefixtures("version")
def test_a_killed_worker_costs_its_own_queries_and_is_replaced(serve: Callable[..., Service]) -> None:
    """Only queries in flight in it are cut; the sums of all never shrink, and the crash is counted."""
    service = serve(**SETTINGS)
    _both_serve(service)
    with Load(service.url(), clients=CLIENTS) as load:
        wait_until("both have answered", lambda: len(load.pids) == 2)
        seen = [_queries(service)]
        victim = _workers(service)[0].pid
        os.kill(victim, signal.SIGKILL)
        wait_until("it is replaced", lambda: _metric(service, "agent_worker_crashes_total") == 1)
        wait_until("both serve", lambda: _metric(service, "agent_workers") == 2)
        seen += [_queries(service) for _ in range(20)]

    assert load.outcomes["cut"] <= CLIENTS
    assert set(load.outcomes) <= {200, "cut"}
    assert seen == sorted(seen)
    assert _queries(service) >= load.answered - 200  # what it counted in its last second is lost
    assert _metric(service, "agent_worker_crashes_total") == 1
    assert victim not in {worker.pid for worker in _workers(service)}
    assert service.log(f"worker {victim} ended with SIGKILL: crash")


def test_a_renewal_under_load_loses_no_query(serve: Callable[..., Service], version: Path) -> None:
    """SIGHUP brings new code and settings in one worker after the other, while every query is answered."""
    service = serve(**SETTINGS)
    _both_serve(service)
    before = {worker.pid for worker in _workers(service)}
    with Load(service.url(), clients=CLIENTS) as load:
        wait_until("both have answered", lambda: len(load.pids) == 2)
        version.write_text("2", encoding="utf-8")
        (version.parent / ".env").write_text("AGENT_POOL_SIZE=10\n", encoding="utf-8")
        service.signal(signal.SIGHUP)
        wait_until(
            "the old ones have left", lambda: not before & {w.pid for w in _workers(service)}, seconds=40
        )
        answered = load.answered
        wait_until("the new ones answer", lambda: load.answered > answered + 50)
    assert set(load.outcomes) == {200}
    assert len(_workers(service)) == 2
    assert _queries(service) == load.answered
    assert _metric(service, "agent_pool_size") == 2 * 10
    assert service.ask("now").json()["answer"].endswith(" 2")


def test_a_renewal_that_fails_leaves_the_old_workers(serve: Callable[..., Service], version: Path) -> None:
    """A version that cannot start takes nothing away, and the log says why; the next one may."""
    service = serve(**SETTINGS)
    _both_serve(service)
    before = {worker.pid for worker in _workers(service)}
    version.write_text("broken", encoding="utf-8")
    service.signal(signal.SIGHUP)
    goes_on = "the new worker did not start; the old ones go on, with what they have"
    wait_until("it is given up", lambda: service.log(goes_on) != [])
    assert "this version cannot be imported" in service.output
    assert {worker.pid for worker in _workers(service)} == before
    assert service.ask("now").json()["answer"].endswith(" 1")

    version.write_text("2", encoding="utf-8")
    service.signal(signal.SIGHUP)
    wait_until("all are renewed", lambda: not before & {w.pid for w in _workers(service)}, seconds=40)


@pytest.mark.usefixtures("version")
def test_an_erasure_stops_the_queries_of_all_workers(serve: Callable[..., Service]) -> None:
    """Whichever worker is asked to erase, no query in flight in another brings a turn back."""
    service = serve(**SETTINGS)
    _both_serve(service)
    asked = [Asking(service, "wait 3") for _ in range(CLIENTS)]
    wait_until("all are asked", lambda: _metric(service, "agent_pool_in_use") == CLIENTS)
    erased = httpx.delete(f"{service.url()}/api/v1/users/ada/history", timeout=10)
    assert erased.status_code == 200
    assert [one.answer().json()["error"] for one in asked] == ["conflict"] * CLIENTS
    assert turns(service) == []
    assert service.ask("now").status_code == 200
    assert len(turns(service)) == 1


def test_a_reset_closes_the_breakers_of_all_workers(
    serve: Callable[..., Service], simulator: Simulator
) -> None:
    """The operator asks once, whichever worker hears it."""
    simulator.behave(faults=[{"kind": "500"}])
    settings = simulator.settings(CIRCUIT_BREAKER_THRESHOLD="1", AGENT_MAX_RETRIES="0")
    service = serve(**settings, SERVER_WORKERS="2", CIRCUIT_BREAKER_TIMEOUT_SECS="600")
    _both_serve(service)
    with Load(service.url(), clients=CLIENTS, question="What is 2+2?"):
        wait_until("both are open", lambda: _breakers(service) == {"open"})
    simulator.heal()
    assert httpx.post(f"{service.url()}/api/v1/circuit-breaker/reset", timeout=10).status_code == 200
    wait_until("none is open", lambda: _metric(service, "circuit_breaker_state") == 0)
    assert _breakers(service) == {"closed"}


@pytest.mark.usefixtures("version")
def test_a_stop_drains_all_workers(serve: Callable[..., Service]) -> None:
    """Queries in flight are answered by whichever worker has them, new ones get 503, the status is 0."""
    service = serve(**SETTINGS)
    _both_serve(service)
    workers = _workers(service)
    with Load(service.url(), clients=CLIENTS, question="wait 1") as load:
        wait_until("all are asked", lambda: _metric(service, "agent_pool_in_use") == CLIENTS)
        service.signal(signal.SIGTERM)
        assert service.status() == 0
    assert load.outcomes[200] == CLIENTS
    assert not any(worker.is_running() for worker in workers)


@pytest.mark.usefixtures("version")
def test_a_second_signal_ends_all_at_once(serve: Callable[..., Service]) -> None:
    """Nobody waits for the grace, and the status is 0 all the same."""
    service = serve(**SETTINGS)
    _both_serve(service)
    with Load(service.url(), clients=CLIENTS, question="wait 60"):
        wait_until("all are asked", lambda: _metric(service, "agent_pool_in_use") == CLIENTS)
        service.signal(signal.SIGTERM)
        signalled = time.monotonic()
        wait_until("the second is no echo", lambda: time.monotonic() > signalled + 0.3)
        service.signal(signal.SIGTERM)
        assert service.status(seconds=12) == 0


@pytest.mark.usefixtures("version")
def test_workers_end_after_their_supervisor(serve: Callable[..., Service]) -> None:
    """A killed supervisor leaves no process and no open port behind, within seconds."""
    service = serve(**SETTINGS)
    _both_serve(service)
    workers = _workers(service)
    service.signal(signal.SIGKILL)
    assert psutil.wait_procs(workers, timeout=15)[1] == []


@pytest.mark.usefixtures("version")
def test_a_blocked_worker_ends_after_its_supervisor_too(serve: Callable[..., Service]) -> None:
    """An event loop that does not turn hears of nothing; the process ends all the same."""
    service = serve(**SETTINGS, SHUTDOWN_GRACE_SECS="0")
    _both_serve(service)
    workers = _workers(service)
    with Load(service.url(), clients=1, question="block 60"):
        wait_until("it blocks", lambda: service.log("the event loop is blocked") != [])
        service.signal(signal.SIGKILL)
        assert psutil.wait_procs(workers, timeout=40)[1] == []


def test_workers_that_do_not_live_end_the_service(serve: Callable[..., Service], version: Path) -> None:
    """Crashes that follow each start are waited out longer and longer, then the status says failure."""
    version.write_text("short-lived", encoding="utf-8")
    service = serve(**SETTINGS)
    assert service.status(seconds=90) == 1
    assert service.log("giving up: workers end as soon as they are started; the lines above say why")


def test_a_first_worker_that_cannot_start_ends_the_service(
    serve: Callable[..., Service], version: Path
) -> None:
    """What is wrong is said once, not for each worker and not again and again."""
    version.write_text("broken", encoding="utf-8")
    service = serve(**SETTINGS)
    assert service.status() == 1
    assert service.output.count("this version cannot be imported") <= 2
    assert len([line for line in service.lines if "starts" in line]) == 1
