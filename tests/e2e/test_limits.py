"""Limits of real services: of replicas on one Redis, of workers on one file, of keys, and over a restart."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx
import openai
import pytest

from tests.processes import Service, wait_until
from tests.redis_servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

UNCHECKED = "limits are not checked: what counts for them fails"


def _key(file: Path, name: str, *options: str) -> str:
    """A new key."""
    command = [sys.executable, "-m", "agent_service", "keys", "create", "--file", str(file), "--name", name]
    made = subprocess.run([*command, *options], check=True, capture_output=True, text=True)
    return made.stdout.strip()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that the test may end."""
    own = RedisServer(tmp_path / "redis")
    yield own
    own.kill()


def test_replicas_share_one_limit_until_there_is_nothing_that_counts(
    serve: Callable[..., Service], redis_server: RedisServer
) -> None:
    """The sixth query is refused wherever it is sent. Without Redis all go on: one line says so."""
    settings = {"REDIS_URL": redis_server.url, "MEMORY_ON_FAILURE": "degrade", "RATE_LIMIT": "5/hour"}
    first, second = (serve(**settings) for _ in range(2))

    answers = [replica.ask("Hi") for replica in (first, second, first, second, first)]
    refused = [replica.ask("Hi") for replica in (first, second)]

    assert [answer.status_code for answer in answers] == [200] * 5
    left = [answer.headers["RateLimit"].split(";")[1] for answer in answers]
    assert left == ["r=4", "r=3", "r=2", "r=1", "r=0"]
    for answer in refused:
        assert (answer.status_code, answer.json()["error"]) == (429, "rate_limited")
        assert answer.json()["detail"] == "This user_id may send 5 queries per hour."
        assert 3500 < int(answer.headers["Retry-After"]) <= 3660
        assert answer.headers["RateLimit-Policy"] == '"user-hour";q=5;w=3600'
        assert answer.headers["RateLimit"] == f'"user-hour";r=0;t={answer.headers["Retry-After"]}'
    assert second.ask("Hi", user_id="grace").status_code == 200
    assert first.client.get("/api/v1/users/ada/history").status_code == 200
    assert first.metric('agent_rate_limit_refusals_total{limit="user"}') == 1

    redis_server.kill()

    unlimited = [first.ask("Hi") for _ in range(4)]
    assert [answer.status_code for answer in unlimited] == [200] * 4
    assert "RateLimit" not in unlimited[-1].headers
    assert first.metric("agent_rate_limit_errors_total") == 4
    assert len(first.log(UNCHECKED)) == 1


def test_workers_share_one_limit(serve: Callable[..., Service]) -> None:
    """Whichever of them takes the connection."""
    service = serve(SERVER_WORKERS="2", RATE_LIMIT="7/hour")
    statuses = []
    for _ in range(20):
        with httpx.Client(base_url=service.url(), timeout=60.0) as client:
            body = {"user_id": "ada", "question": "Hi"}
            statuses.append(client.post("/api/v1/query", json=body).status_code)
    assert (statuses.count(200), statuses.count(429)) == (7, 13)


class Budgeted:
    """A service with keys, and its settings, to start it again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        file = folder / "keys.json"
        self.poor = _key(file, "poor", "--tokens-per-day", "1")
        self.streaming = _key(file, "streaming", "--tokens-per-day", "1")
        self.slow = _key(file, "slow", "--rate-limit", "1/hour")
        self.settings = {"API_KEYS_FILE": str(file)}
        self.service = Service(folder, **self.settings)

    def close(self) -> None:
        self.service.close()

    def restart(self) -> None:
        self.close()
        self.service = Service(self.folder, **self.settings)

    def ask(self, key: str, **headers: str) -> httpx.Response:
        return self.service.ask("What is 2+2?", Authorization=f"Bearer {key}", **headers)


@pytest.fixture(scope="module")
def budgeted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Budgeted]:
    """One process for all tests, but for the last one's second."""
    with ExitStack() as stack:
        budgeted = Budgeted(tmp_path_factory.mktemp("limits"))
        stack.callback(budgeted.close)
        yield budgeted


def test_openai_clients_know_the_limit(budgeted: Budgeted) -> None:
    """As their own error, with the headers that they read; a repeat by an idempotency key counts too."""
    at = f"{budgeted.service.url()}/v1"
    with openai.OpenAI(base_url=at, api_key=budgeted.slow, max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(
            model="default", messages=[{"role": "user", "content": "Hi"}]
        )
        assert raw.headers["x-ratelimit-limit-requests"] == "1"
        assert raw.headers["x-ratelimit-remaining-requests"] == "0"

        with pytest.raises(openai.RateLimitError) as refused:
            client.responses.create(model="default", input="Hi")

    assert refused.value.code == "rate_limited"
    assert refused.value.response.headers["x-ratelimit-reset-requests"].endswith("s")
    assert int(refused.value.response.headers["Retry-After"]) > 3500


def test_a_streamed_query_is_charged_too(budgeted: Budgeted) -> None:
    """What it used is known when it has ended."""
    streamed = budgeted.ask(budgeted.streaming, Accept="text/event-stream")
    assert streamed.headers["RateLimit-Policy"] == '"tokens-day";q=1;w=86400;qu="tokens"'
    wait_until("it is charged", lambda: budgeted.ask(budgeted.streaming).status_code == 429)


def test_a_budget_that_is_used_up_stays_so_over_a_restart(budgeted: Budgeted) -> None:
    """The file beside the conversations knows; the detail says which day it is about."""
    assert budgeted.ask(budgeted.poor).json()["usage"]["total_tokens"] > 1
    wait_until("it is charged", lambda: budgeted.ask(budgeted.poor).status_code == 429)

    budgeted.restart()

    refused = budgeted.ask(budgeted.poor)
    assert refused.status_code == 429
    assert refused.json()["detail"].startswith("This key has used up its 1 tokens of today")
    assert 0 < int(refused.headers["Retry-After"]) <= 86_400
    assert refused.headers["RateLimit"] == f'"tokens-day";r=0;t={refused.headers["Retry-After"]}'
