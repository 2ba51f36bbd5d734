"""Two replicas behind a reverse proxy are restarted in turn under steady load, and no query is lost."""

from __future__ import annotations

import signal
import ssl
import threading
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.faults.certificates import VALID, Authority
from tests.processes import Service, wait_until
from tests.reverse_proxies import caddy, free_ports, nginx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from tests.faults.certificates import Leaf
    from tests.reverse_proxies import ReverseProxy

CLIENTS, READERS = 8, 2
SETTINGS = {
    "AGENT_PROGRAM": "steady_program:Steady",
    "MEMORY_MAX_TURNS": "10000",
    "STREAM_RESUME_SECS": "0",
}


class Replicas:
    """Two services on ports of their own that share what is stored."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self._folder = folder
        self._settings = SETTINGS | settings
        self.ports = free_ports(2)
        self.services = [self._start(port) for port in self.ports]
        for service in self.services:
            service.url()

    def _start(self, port: int) -> Service:
        return Service(self._folder, SERVER_PORT=str(port), **self._settings)

    def restart(self, number: int) -> None:
        """Stop one as a supervisor does, and start it anew."""
        leaving = self.services[number]
        leaving.signal(signal.SIGTERM)
        assert leaving.status() == 0, leaving.output
        leaving.close()
        self.services[number] = self._start(self.ports[number])
        self.services[number].url()

    def close(self) -> None:
        for service in self.services:
            service.close()


class SteadyLoad:
    """Within the ``with`` block clients ask and readers follow streams, each question once, without pause.

    Attributes:
        sent: the questions of each user, in order.
        outcomes: how many ended with which status, or in which way a connection broke.
        streams: how many streams ended with which event, or in which way.
    """

    def __init__(self, url: str, trust: ssl.SSLContext) -> None:
        self.sent: dict[str, list[str]] = {}
        self.outcomes: Counter[int | str] = Counter()
        self.streams: Counter[str] = Counter()
        self._url = url
        self._trust = trust
        self._over = threading.Event()
        users = [(f"client-{number}", self._ask) for number in range(CLIENTS)]
        users += [(f"reader-{number}", self._follow) for number in range(READERS)]
        self._threads = [threading.Thread(target=self._live, args=user, daemon=True) for user in users]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=30)

    def _live(self, user: str, ask: Callable[[httpx.Client, dict[str, str]], None]) -> None:
        questions = self.sent.setdefault(user, [])
        with httpx.Client(base_url=self._url, verify=self._trust, timeout=30) as client:
            while not self._over.is_set():
                questions.append(f"question {len(questions)}")
                ask(client, {"user_id": user, "question": questions[-1]})

    def _ask(self, client: httpx.Client, query: dict[str, str]) -> None:
        try:
            response = client.post("/api/v1/query", json=query)
        except httpx.TransportError as error:
            self.outcomes[repr(error)] += 1
            return
        good = response.status_code == 200
        told = response.json() if good else {}
        repeats = good and told["answer"] == query["question"] and told["stored"]
        self.outcomes[200 if repeats else f"{response.status_code} {response.text}"[:80]] += 1

    def _follow(self, client: httpx.Client, query: dict[str, str]) -> None:
        last = "nothing"
        try:
            with client.stream("POST", "/api/v1/query/stream", json=query) as response:
                for line in response.iter_lines():
                    last = line.removeprefix("event: ") if line.startswith("event: ") else last
        except httpx.TransportError as error:
            last = repr(error)
        self.streams[last] += 1


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Trusted by the clients."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes what was started."""
    with ExitStack() as closing:
        yield closing


def _stored(client: httpx.Client, user_id: str) -> list[str]:
    """All questions of a user's conversation, oldest first."""
    found: list[str] = []
    parameters: dict[str, Any] = {"limit": 100}
    while True:
        page = client.get(f"/api/v1/users/{user_id}/history", params=parameters).json()
        found = [turn["question"] for turn in page["turns"]] + found
        if page["next_before_seq"] is None:
            return found
        parameters["before_seq"] = page["next_before_seq"]


def _roll(replicas: Replicas, proxy: ReverseProxy, trust: ssl.SSLContext, *, rounds: int) -> None:
    with SteadyLoad(proxy.url, trust) as load:
        for number in [0, 1] * rounds:
            asked = sum(map(len, load.sent.values()))
            wait_until("load is steady", lambda: sum(map(len, load.sent.values())) > asked + 50)  # noqa: B023 - waited for at once
            replicas.restart(number)
    print(f"\n{proxy.url}: queries {dict(load.outcomes)}, streams {dict(load.streams)}")  # noqa: T201 - counts
    sent = Counter({user: len(questions) for user, questions in load.sent.items()})
    assert dict(load.outcomes) == {200: sum(sent[f"client-{number}"] for number in range(CLIENTS))}
    assert dict(load.streams) == {"answer": sum(sent[f"reader-{number}"] for number in range(READERS))}
    with httpx.Client(base_url=proxy.url, verify=trust, timeout=30) as client:
        for user, questions in load.sent.items():
            assert _stored(client, user) == questions


@pytest.mark.parametrize(
    ("start", "rounds", "settings"),
    [(nginx, 2, {}), (caddy, 1, {"SHUTDOWN_DELAY_SECS": "5"})],
    ids=["nginx", "caddy"],
)
def test_no_query_is_lost(
    start: Callable[[Path, Leaf, Sequence[int]], ReverseProxy],
    rounds: int,
    settings: dict[str, str],
    authority: Authority,
    stack: ExitStack,
    tmp_path: Path,
) -> None:
    """Each query is answered once and stored once, whichever replica leaves, and every stream has its end."""
    leaf = authority.leaf(start.__name__, VALID)
    trust = ssl.create_default_context(cafile=authority.certificate)
    replicas = Replicas(tmp_path, **settings)
    stack.callback(replicas.close)
    proxy = start(tmp_path, leaf, replicas.ports)
    stack.callback(proxy.close)

    _roll(replicas, proxy, trust, rounds=rounds)
