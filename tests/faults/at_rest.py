"""What holds after every fault: slots are back, the next query works, nothing is lost or stored twice."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import httpx

from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.processes import Service

ASSETS = Path(__file__).parent / "assets"
PROGRAMS = {"PYTHONPATH": str(ASSETS), "AGENT_PROGRAM": "faulty_programs:Faulty"}
ASYNC_PROGRAMS = {"PYTHONPATH": str(ASSETS), "AGENT_PROGRAM": "faulty_programs:FaultyAsync"}


class Asking(threading.Thread):
    """A query on its way, with a connection of its own; ``response`` is None when none came."""

    def __init__(self, service: Service, question: str, *, user_id: str = "ada", **headers: str) -> None:
        super().__init__(daemon=True)
        self.response: httpx.Response | None = None
        self._url = service.url()
        self._body = {"user_id": user_id, "question": question}
        self._headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.start()

    def run(self) -> None:
        try:
            self.response = httpx.post(
                f"{self._url}/api/v1/query", json=self._body, headers=self._headers, timeout=30
            )
        except httpx.TransportError:
            self.response = None

    def answer(self) -> httpx.Response:
        """The response, which must come."""
        self.join(timeout=30)
        assert self.response is not None, "the connection ended without an answer"
        return self.response


def assert_at_rest(service: Service) -> None:
    """Every slot is free, nobody waits, the service is ready, and a new query is answered and stored."""
    wait_until("every slot is free", lambda: service.metric("agent_pool_in_use") == 0)
    assert service.metric("agent_pool_waiting") == 0
    assert service.metric("agent_pool_abandoned") == 0
    assert service.client.get("/api/v1/ready").status_code == 200
    following = service.ask("What is 2+2?", user_id="the-next")
    assert (following.status_code, following.json()["stored"]) == (200, True), following.text


def turns(service: Service, user_id: str = "ada") -> list[dict[str, Any]]:
    """The user's stored turns, oldest first."""
    stored: list[dict[str, Any]] = []
    parameters: dict[str, int] | None = {"limit": 100}
    while parameters is not None:
        response = service.client.get(f"/api/v1/users/{user_id}/history", params=parameters)
        assert response.status_code == 200, response.text
        page = response.json()
        stored = page["turns"] + stored
        older = page["next_before_seq"]
        parameters = None if older is None else {"limit": 100, "before_seq": older}
    return stored


def questions(service: Service, user_id: str = "ada") -> list[str]:
    """What the user asked, as far as it is stored."""
    return [turn["question"] for turn in turns(service, user_id)]


def assert_sound(path: Path) -> None:
    """SQLite itself finds nothing wrong with the file."""
    connection = apsw.Connection(str(path))
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


@contextmanager
def write_locked(path: Path) -> Iterator[Callable[[], None]]:
    """Another process's transaction that keeps every commit waiting; yields what ends it."""
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(5000)  # the service may be writing itself at this moment
    connection.execute("BEGIN IMMEDIATE")

    def let_go() -> None:
        if connection.in_transaction:
            connection.execute("ROLLBACK")

    try:
        yield let_go
    finally:
        let_go()
        connection.close()


def wait_for_commit(service: Service) -> None:
    """Return when the first query of a service, of one LM call, has its answer and waits for the store."""
    answered = 'agent_lm_calls_total{model="offline",outcome="success"}'
    wait_until("the model has answered", lambda: service.metric(answered) == 1)
    assert service.metric("agent_pool_in_use") == 1
