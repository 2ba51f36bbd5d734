"""What a served program can do to the process (rows P5 to P8 of the fault matrix).

A control group cannot be made here, so memory is limited by RLIMIT_AS; what the kernel's own kill does is
the SIGKILL of the other tests.
"""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.faults.at_rest import ASYNC_PROGRAMS, PROGRAMS, Asking, assert_at_rest, questions
from tests.processes import Service, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONG_SECONDS = 1.5
"""What the programs' long work takes."""
PROBES = ("/api/v1/live", "/api/v1/ready", "/api/v1/metrics")
TOOLS = {**PROGRAMS, "AGENT_PROGRAM": "faulty_programs:WithTool"}
ASYNC_TOOLS = {**PROGRAMS, "AGENT_PROGRAM": "faulty_programs:WithToolAsync"}
EVERY_WAY = {"sync": PROGRAMS, "async": ASYNC_PROGRAMS, "tool": TOOLS, "async-tool": ASYNC_TOOLS}


@pytest.fixture(scope="module", params=EVERY_WAY)
def faulty(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all the habits that it must survive."""
    service = Service(tmp_path_factory.mktemp("faulty"), **EVERY_WAY[request.param])
    yield service
    service.close()


@pytest.mark.parametrize(
    "habit",
    [
        "raise",
        "recurse",
        "unprintable",
        "exit",
        "stop-iteration",
        "base-exception",
        "keyboard-interrupt",
        "cancelled",
    ],
)
def test_whatever_a_program_raises_is_an_error_of_this_query_alone(faulty: Service, habit: str) -> None:
    """The caller gets 500 without the program's text, nothing is stored, the process goes on."""
    errors = faulty.metric('agent_errors_total{error="internal_error"}')

    response = faulty.ask(f"{habit} please", user_id=habit)

    assert (response.status_code, response.json()["error"]) == (500, "internal_error")
    assert "secret-of-the-program" not in response.text
    assert faulty.metric('agent_errors_total{error="internal_error"}') == errors + 1
    assert questions(faulty, habit) == []
    assert_at_rest(faulty)
    assert "secret-of-the-program" not in faulty.output


@pytest.mark.parametrize("programs", [PROGRAMS, ASYNC_PROGRAMS], ids=["sync", "async"])
def test_whatever_a_program_returns_is_stored_as_it_was_answered_or_refused(
    serve: Callable[..., Service], programs: dict[str, str]
) -> None:
    """No prediction is an error; ten megabytes and half a surrogate pair come back from the store as sent."""
    service = serve(**programs)
    nothing = service.ask("none please", user_id="none")
    assert (nothing.status_code, nothing.json()["error"]) == (500, "internal_error")
    assert questions(service, "none") == []

    for habit, answer in (("megabytes", "x" * 10_000_000), ("surrogates", "half ? of a pair")):
        response = service.ask(f"{habit} please", user_id=habit)
        assert (response.status_code, response.json()["stored"]) == (200, True)
        assert response.json()["answer"] == answer
        assert service.ask("What is 2+2?", user_id=habit).status_code == 200
        history = service.client.get(f"/api/v1/users/{habit}/history").json()["turns"]
        assert [turn["answer"] == answer for turn in history] == [True, False]
    assert_at_rest(service)


def _assert_probes_are_quick(service: Service) -> None:
    """Within 100 ms; a machine that is busy otherwise may delay one in ten, no program may."""
    durations_seconds = []
    for path in PROBES * 10:
        began = time.monotonic()
        assert service.client.get(path).status_code == 200
        durations_seconds.append(time.monotonic() - began)
    assert sorted(durations_seconds)[26] < 0.1
    assert max(durations_seconds) < LONG_SECONDS / 2


@pytest.mark.parametrize(
    "programs", [PROGRAMS, TOOLS, ASYNC_TOOLS], ids=["sync program", "tool", "async program's sync tool"]
)
def test_synchronous_code_blocks_its_slot_and_not_the_probes(
    serve: Callable[..., Service], programs: dict[str, str]
) -> None:
    """While every slot is held by code that sleeps, probes and metrics answer within 100 ms."""
    service = serve(**programs, AGENT_POOL_SIZE="4")
    service.client.get("/api/v1/metrics")
    asking = [Asking(service, "block please", user_id=f"user-{number}") for number in range(4)]
    wait_until("every slot is taken", lambda: service.metric("agent_pool_in_use") == 4)

    _assert_probes_are_quick(service)

    assert service.metric("agent_pool_in_use") == 4
    assert [each.answer().status_code for each in asking] == [200] * 4
    assert_at_rest(service)


def test_a_program_that_blocks_the_loop_is_named_while_it_does(serve: Callable[..., Service]) -> None:
    """Synchronous code in ``aforward`` stops everything else; the log says whose, and then all goes on."""
    service = serve(**ASYNC_PROGRAMS)
    service.client.get("/api/v1/live")
    asking = Asking(service, "block-long please")

    wait_until("it is told", lambda: bool(service.log("the event loop is blocked")))

    assert asking.response is None
    [told] = service.log("the event loop is blocked")
    assert told["level"] == "warning"
    assert "faulty_programs.py" in told["frames"][0]
    assert asking.answer().status_code == 200
    assert service.metric("agent_event_loop_blocked_total") == 1
    _assert_probes_are_quick(service)
    assert_at_rest(service)


@pytest.mark.parametrize("programs", [PROGRAMS, ASYNC_PROGRAMS], ids=["thread", "task"])
def test_work_that_heeds_no_stop_keeps_its_slot_until_it_ends(
    serve: Callable[..., Service], programs: dict[str, str]
) -> None:
    """The caller gets 504 in time; the slot is not given to another while the work still uses it."""
    service = serve(**programs, AGENT_POOL_SIZE="1", AGENT_POOL_QUEUE="0")
    service.url()
    began = time.monotonic()

    response = service.ask("swallow please", X_Request_Timeout="0.3")

    assert (response.status_code, response.json()["error"]) == (504, "timeout")
    assert time.monotonic() - began < 1
    assert service.metric("agent_pool_in_use") == 1
    assert service.metric("agent_pool_abandoned") == 1
    refused: Any = service.ask("hello there")
    assert (refused.status_code, refused.json()["error"]) == (503, "pool_exhausted")
    assert service.client.get("/api/v1/ready").status_code == 503
    assert_at_rest(service)
    assert questions(service) == []


@pytest.mark.parametrize("programs", [PROGRAMS, ASYNC_PROGRAMS], ids=["sync", "async"])
def test_a_query_that_needs_too_much_memory_fails_alone(
    serve: Callable[..., Service], programs: dict[str, str]
) -> None:
    """Memory that is not there is an error of the query that asked for it."""
    service = serve(**programs)
    service.ask("hello there", user_id="first")
    process = psutil.Process(service.pid)
    limit = process.memory_info().vms + 2**30
    process.rlimit(resource.RLIMIT_AS, (limit, limit))

    response = service.ask("memory please")

    assert (response.status_code, response.json()["error"]) == (500, "internal_error")
    wait_until("it is logged", lambda: "MemoryError" in service.output)
    assert questions(service) == []
    assert_at_rest(service)
