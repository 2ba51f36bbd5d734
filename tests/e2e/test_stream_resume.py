"""Streams that are picked up again, on either of two processes over one store."""

from __future__ import annotations

import random
import signal
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.e2e.test_streams import LONG_REPLY, _events
from tests.processes import wait_until
from tests.redis_servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.processes import Service, Simulator

STREAMS = 4
RESUMES = 100


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The settings of a store that both processes use."""
    if request.param == "sqlite":
        yield {}
        return
    server = RedisServer(tmp_path / "redis")
    yield {"REDIS_URL": server.url}
    server.kill()


class Follower:
    """Follows one stream to its end, and loses its connection all the time."""

    def __init__(self, services: list[Service], user_id: str) -> None:
        self.told: list[tuple[int, str, Any]] = []
        self.resumes = 0
        self._urls = [service.url() for service in services]
        self._user_id = user_id
        self._chance = random.Random(user_id)

    def run(self) -> None:
        with httpx.Client(timeout=30) as client:
            body = {"user_id": self._user_id, "question": "Go on."}
            url = f"{self._urls[0]}/api/v1/query/stream?on_disconnect=continue"
            with client.stream("POST", url, json=body, headers={"X-Request-ID": self._user_id}) as response:
                self._read_some(response)
            while self.told[-1][1] not in {"answer", "error"}:
                self.resumes += 1
                url = f"{self._chance.choice(self._urls)}/api/v1/queries/{self._user_id}/events"
                headers = {"Last-Event-ID": str(self.told[-1][0])}
                parameters = {"user_id": self._user_id}
                with client.stream("GET", url, params=parameters, headers=headers) as response:
                    assert response.status_code == 200, response.read()
                    self._read_some(response)

    def whole(self, client: httpx.Client) -> list[tuple[int, str, Any]]:
        """The stream as it is kept, in one piece."""
        url = f"{self._urls[1]}/api/v1/queries/{self._user_id}/events?user_id={self._user_id}"
        return list(_events(client.get(url)))

    def _read_some(self, response: httpx.Response) -> None:
        """A few events, then the connection is gone."""
        left = self._chance.randint(1, 4)
        for event in _events(response):
            self.told.append(event)
            left -= 1
            if not left:
                return


def test_no_event_is_lost_or_doubled_by_resuming(
    serve: Callable[..., Service], simulator: Simulator, store: dict[str, str]
) -> None:
    """A hundred times at random places, on either process: each event once, in order, to the answer."""
    simulator.behave(tokens_per_second=100)
    simulator.script(*[LONG_REPLY] * STREAMS)
    settings = simulator.settings(AGENT_PROGRAM="own_program:support", **store)
    services = [serve(**settings), serve(**settings)]
    followers = [Follower(services, f"user-{number}") for number in range(STREAMS)]
    threads = [threading.Thread(target=follower.run) for follower in followers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    assert sum(follower.resumes for follower in followers) >= RESUMES
    with httpx.Client(timeout=30) as client:
        for follower in followers:
            assert [number for number, _, _ in follower.told] == list(range(1, len(follower.told) + 1))
            assert follower.told == follower.whole(client)
            text = "".join(data["text"] for _, kind, data in follower.told if kind == "answer.delta")
            assert follower.told[-1][1] == "answer"
            assert text == follower.told[-1][2]["answer"]


def test_a_run_that_goes_on_is_stored_and_picked_up(
    serve: Callable[..., Service], simulator: Simulator, store: dict[str, str]
) -> None:
    """Its reader comes back to another process; who has everything gets 204; erasing takes it along."""
    simulator.behave(tokens_per_second=50)
    services = [serve(**simulator.settings(MEMORY_TIMEOUT_SECS="10", **store)) for _ in range(2)]
    services[1].url()
    headers = {"X-Request-ID": "r1"}
    with services[0].client.stream(
        "POST",
        "/api/v1/query/stream?on_disconnect=continue",
        json={"user_id": "ada", "question": "Hello there!"},
        headers=headers,
    ) as response:
        seen = next(_events(response))

    path = "/api/v1/queries/r1/events?user_id=ada"
    rest = list(_events(services[1].client.get(path, headers={"Last-Event-ID": str(seen[0])})))
    assert [number for number, _, _ in rest] == list(range(2, len(rest) + 2))
    assert (rest[-1][1], rest[-1][2]["stored"]) == ("answer", True)
    assert services[0].metric("agent_pool_in_use") == 0

    done = services[1].client.get(path, headers={"Last-Event-ID": str(rest[-1][0])})
    assert done.status_code == 204
    assert services[1].client.get(path.replace("ada", "bob")).status_code == 404
    services[1].client.delete("/api/v1/users/ada/history").raise_for_status()
    assert services[0].client.get(path).status_code == 404


def test_a_stop_leaves_streams_whole(
    serve: Callable[..., Service], simulator: Simulator, store: dict[str, str]
) -> None:
    """Who was cut by the end of a process finds on another one how it ended."""
    simulator.behave(latency_seconds=30)
    services = [serve(**simulator.settings(SHUTDOWN_GRACE_SECS="0.3", **store)) for _ in range(2)]
    services[1].url()
    with services[0].client.stream(
        "POST",
        "/api/v1/query/stream?on_disconnect=continue",
        json={"user_id": "ada", "question": "Hello there!"},
        headers={"X-Request-ID": "r1"},
    ) as response:
        next(_events(response))
    wait_until("the model is asked", lambda: len(simulator.journal()) == 1)
    services[0].signal(signal.SIGINT)
    assert services[0].status() == 0

    *_, (_, kind, problem) = _events(services[1].client.get("/api/v1/queries/r1/events?user_id=ada"))
    assert (kind, problem["error"]) == ("error", "shutting_down")
