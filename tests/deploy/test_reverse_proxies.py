"""The examples for nginx and Caddy as they are shipped, run by the real programs in front of two replicas."""

from __future__ import annotations

import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.faults.certificates import VALID, Authority
from tests.processes import Service, wait_until
from tests.reverse_proxies import caddy, nginx

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = {"AGENT_PROGRAM": "steady_program:Steady", "AGENT_POOL_SIZE": "2", "AGENT_POOL_QUEUE": "0"}
SLOTS = 4
EXAMPLES = {"nginx": nginx, "caddy": caddy}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Trusted by the clients."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Service]]:
    """Two services with two slots each."""
    folder = tmp_path_factory.mktemp("replicas")
    running = [Service(folder, **SETTINGS) for _ in range(2)]
    for service in running:
        service.url()
    yield running
    for service in running:
        service.close()


@pytest.fixture(scope="module", params=EXAMPLES)
def client(
    request: pytest.FixtureRequest,
    authority: Authority,
    replicas: list[Service],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[httpx.Client]:
    """A client of the proxy."""
    ports = [int(service.url().rpartition(":")[2]) for service in replicas]
    leaf = authority.leaf(request.param, VALID)
    proxy = EXAMPLES[request.param](tmp_path_factory.mktemp(request.param), leaf, ports)
    trust = ssl.create_default_context(cafile=authority.certificate)
    with httpx.Client(base_url=proxy.url, verify=trust, timeout=20) as running:
        yield running
    proxy.close()


def _ask(client: httpx.Client, question: str, user_id: str = "ada") -> httpx.Response:
    return client.post("/api/v1/query", json={"user_id": user_id, "question": question})


def _in_use(replicas: list[Service]) -> float:
    return sum(service.metric("agent_pool_in_use") for service in replicas)


def test_a_query_keeps_its_identity(client: httpx.Client, replicas: list[Service]) -> None:
    """The caller's request id is that of the service's log line, and the one that is answered."""
    name = f"of-{client.base_url.port}"
    response = client.post(
        "/api/v1/query", json={"user_id": "ada", "question": "Hi"}, headers={"X-Request-ID": name}
    )
    assert (response.status_code, response.headers["x-request-id"]) == (200, name)
    wait_until("it is logged", lambda: name in [q["request_id"] for s in replicas for q in s.log("query")])


def test_streams_come_as_they_are_written(client: httpx.Client) -> None:
    """The first event is there long before the last."""
    query = {"user_id": "ada", "question": "wait 1"}
    came: dict[str, float] = {}
    with client.stream("POST", "/api/v1/query/stream", json=query) as response:
        for line in response.iter_lines():
            if line.startswith("event: "):
                came[line.removeprefix("event: ")] = time.monotonic()
    assert came["answer"] - came["run.started"] > 0.7


def test_a_caller_who_leaves_stops_the_run(client: httpx.Client, replicas: list[Service]) -> None:
    """Neither proxy keeps the query of a caller who is gone."""
    query = {"user_id": "ada", "question": "wait 30"}
    with client.stream("POST", "/api/v1/query/stream", json=query) as response:
        lines = response.iter_lines()
        assert next(lines) == "id: 1"
        wait_until("it runs", lambda: _in_use(replicas) == 1)
    wait_until("the slot is free", lambda: _in_use(replicas) == 0, seconds=5)
    with pytest.raises(httpx.ReadTimeout):
        client.post("/api/v1/query", json=query, timeout=0.5)
    wait_until("the slot is free", lambda: _in_use(replicas) == 0, seconds=5)


def test_a_body_of_more_than_a_mebibyte_is_refused(client: httpx.Client) -> None:
    """As the service does, which judges what is smaller itself."""
    for chars, status, code in ((1_100_000, 413, None), (1_000_000, 422, "invalid_request")):
        refused = client.post("/api/v1/query", json={"user_id": "ada", "question": "a" * chars})
        assert refused.status_code == status
        assert code is None or refused.json()["error"] == code


def test_an_overload_is_the_service_s_to_tell(client: httpx.Client, replicas: list[Service]) -> None:
    """Callers get its 503 and not the proxy's 502, and are answered as soon as there is room."""
    with ThreadPoolExecutor(SLOTS) as others:
        held = [others.submit(_ask, client, "wait 2", f"user-{number}") for number in range(SLOTS)]
        wait_until("every slot is taken", lambda: _in_use(replicas) == SLOTS)
        for _ in range(5):
            refused = _ask(client, "Hi")
            assert refused.json()["error"] == "pool_exhausted"
            assert int(refused.headers["retry-after"]) >= 1
    assert [one.result().status_code for one in held] == [200] * SLOTS
    assert _ask(client, "Hi").status_code == 200


def test_metrics_are_for_those_inside(client: httpx.Client) -> None:
    """They tell who is asked how much."""
    assert client.get("/api/v1/metrics").status_code == 404
