"""The process is told to stop, killed, or killed by what it serves (rows P1 to P4 of the fault matrix).

One process has nobody to start it again: its supervisor does that, by the exit status. What these tests hold
is that the next process finds everything that was acknowledged. Row P9, a fork after the loop has begun,
does not exist here: workers are forked by a supervisor that has no loop (see test_process_workers.py).
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.faults.at_rest import (
    ASYNC_PROGRAMS,
    PROGRAMS,
    Asking,
    assert_at_rest,
    assert_sound,
    questions,
    turns,
    wait_for_commit,
    write_locked,
)
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.processes import Service, Simulator

FILE = "conversations.db"
PATIENT = {**PROGRAMS, "MEMORY_TIMEOUT_SECS": "10", "CONVERSATION_POLICY": "parallel"}
"""The lock on the file then meets the commit, and not the lease of the conversation's turn before it."""


def test_sigterm_during_a_commit_waits_for_it(serve: Callable[..., Service], tmp_path: Path) -> None:
    """The answer says stored, the status is 0, and the next process has the turn exactly once."""
    service = serve(**PATIENT)
    service.url()
    with write_locked(tmp_path / FILE) as let_go:
        asking = Asking(service, "hello there")
        wait_for_commit(service)

        service.signal(signal.SIGTERM)

        wait_until("it drains", lambda: service.client.get("/api/v1/ready").status_code == 503)
        let_go()
        assert asking.answer().json()["stored"] is True
    assert service.status() == 0
    following = serve(**PROGRAMS)
    assert questions(following) == ["hello there"]
    assert_at_rest(following)
    assert_sound(tmp_path / FILE)


def test_a_commit_that_outlasts_its_limit_is_said_to_be_unstored_and_still_whole(
    serve: Callable[..., Service], tmp_path: Path
) -> None:
    """The caller has the answer in time with ``stored`` false, and the stop does not tear the late commit."""
    service = serve(**{**PROGRAMS, "MEMORY_TIMEOUT_SECS": "0.3"})
    service.url()
    with write_locked(tmp_path / FILE) as let_go:
        asking = Asking(service, "hello there")
        response = asking.answer()
        assert (response.status_code, response.json()["stored"]) == (200, False)
        commits = 'agent_memory_operations_total{backend="sqlite",operation="commit",outcome="timeout"}'
        assert service.metric(commits) == 1

        service.signal(signal.SIGTERM)
        let_go()

    assert service.status() == 0
    following = serve(**PROGRAMS)
    assert questions(following) in ([], ["hello there"])
    assert_at_rest(following)


def test_two_sigterms_during_a_commit_end_the_process_and_leave_no_half_of_a_turn(
    serve: Callable[..., Service], tmp_path: Path
) -> None:
    """Whoever insists is obeyed within seconds, with status 0; the turn is there once and whole, or not."""
    service = serve(**PATIENT)
    service.url()
    with write_locked(tmp_path / FILE):
        Asking(service, "hello there")
        wait_for_commit(service)
        service.signal(signal.SIGTERM)
        wait_until("it drains", lambda: service.client.get("/api/v1/ready").status_code == 503)
        began = time.monotonic()
        wait_until("a second signal is no echo of the first", lambda: time.monotonic() > began + 0.3)

        service.signal(signal.SIGTERM)

        assert service.status(seconds=12) == 0
    following = serve(**PROGRAMS)
    stored = turns(following)
    assert [turn["question"] for turn in stored] in ([], ["hello there"])
    assert all(turn["answer"] for turn in stored)
    assert_at_rest(following)
    assert_sound(tmp_path / FILE)


def test_sigkill_while_the_model_is_asked_leaves_no_trace_of_the_query(
    serve: Callable[..., Service], simulator: Simulator, tmp_path: Path
) -> None:
    """What was acknowledged before is there, what was not is not, and the file is sound."""
    settings = simulator.settings(**PROGRAMS)
    service = serve(**settings)
    assert service.ask("first").json()["stored"] is True
    simulator.behave(latency_seconds=30)
    Asking(service, "second")
    wait_until("the model is asked", lambda: len(simulator.journal()) == 2)

    service.signal(signal.SIGKILL)

    assert service.status() == -signal.SIGKILL
    simulator.heal()
    following = serve(**settings)
    assert questions(following) == ["first"]
    assert_at_rest(following)
    assert_sound(tmp_path / FILE)


def test_sigkill_during_a_commit_leaves_the_turn_whole_or_absent(
    serve: Callable[..., Service], tmp_path: Path
) -> None:
    """A commit that was not acknowledged is not half there."""
    service = serve(**PATIENT)
    service.url()
    with write_locked(tmp_path / FILE):
        asking = Asking(service, "hello there")
        wait_for_commit(service)

        service.signal(signal.SIGKILL)

        assert service.status() == -signal.SIGKILL
    asking.join(timeout=10)
    assert asking.response is None
    following = serve(**PROGRAMS)
    assert questions(following) == []
    assert_at_rest(following)
    assert_sound(tmp_path / FILE)


@pytest.mark.parametrize(
    ("programs", "habit", "status"),
    [(PROGRAMS, "os-exit", 7), (ASYNC_PROGRAMS, "segfault", -signal.SIGSEGV)],
    ids=["exit", "segfault"],
)
def test_a_program_that_ends_the_process_costs_only_what_was_not_acknowledged(
    serve: Callable[..., Service], tmp_path: Path, programs: dict[str, str], habit: str, status: int
) -> None:
    """The status tells a supervisor that this was no stop; the next process has every acknowledged turn."""
    service = serve(**programs)
    assert service.ask("hello there").json()["stored"] is True

    asking = Asking(service, f"{habit} now")

    assert service.status() == status
    asking.join(timeout=10)
    assert asking.response is None
    following = serve(**programs)
    assert questions(following) == ["hello there"]
    assert_at_rest(following)
    assert_sound(tmp_path / FILE)
