"""Answering over HTTP: the response's shape, the caller's limit, and the caller who leaves."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.api.departures import DEPARTURES
from agent_service.api.query import ApiOptions, response_body
from agent_service.api.schemas import QueryResponse
from agent_service.core.errors import CancelledByCallerError, CircuitBreakerOpenError
from agent_service.core.messages import Answer, ConversationId, Query, Usage
from agent_service.core.observer import HttpRequestFinished

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tests.api.conftest import Connection, Service

PATH = "/api/v1/query"
ASKED = {"user_id": "ada", "question": "What is 2+2?"}


async def test_the_answer_has_exactly_the_fields_of_the_contract(client: httpx.AsyncClient) -> None:
    """A query's response is the contract's, field by field, with the request's id."""
    response = await client.post(PATH, json=ASKED, headers={"X-Request-ID": "req-1"})

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {
        "answer": "You said: What is 2+2?",
        "user_id": "ada",
        "question": "What is 2+2?",
        "reasoning_steps": 1,
        "latency_ms": 123,
        "request_id": "req-1",
        "session_id": "default",
        "model": "fake-model",
        "tools_used": ["calculator"],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "lm_calls": 2},
        "stored": True,
        "seq": None,
        "degraded": [],
        "program_version": None,
    }


@pytest.mark.parametrize(
    ("session", "expected"),
    [({}, "default"), ({"session_id": None}, "default"), ({"session_id": "s 1"}, "s 1")],
)
async def test_the_query_is_handed_on_as_it_was_asked(
    service: Service, client: httpx.AsyncClient, session: dict[str, str | None], expected: str
) -> None:
    """Question and ids arrive unchanged; without a session the default one is meant."""
    asked = {"user_id": "Zoë/../:*", "question": "  two\nlines \U0001f600 ", **session}

    await client.post(PATH, json=asked, headers={"X-Request-ID": "req-1"})

    assert service.answering.queries == [
        Query("req-1", ConversationId("Zoë/../:*", expected), "  two\nlines \U0001f600 ")
    ]


@pytest.mark.parametrize(("header", "expected"), [("2.5", 2.5), ("1e9", 30.0), (" 3 ", 3.0)])
async def test_a_callers_limit_only_shortens(
    service: Service, client: httpx.AsyncClient, header: str, expected: float
) -> None:
    """X-Request-Timeout never lengthens the service's own limit."""
    response = await client.post(PATH, json=ASKED, headers={"X-Request-Timeout": header})

    assert response.status_code == 200
    assert service.answering.queries[0].timeout_seconds == expected


@pytest.mark.parametrize("header", ["abc", "0", "-1", "nan", "inf", "", "1e999"])
async def test_a_senseless_limit_is_refused_by_name(
    service: Service, client: httpx.AsyncClient, header: str
) -> None:
    """A limit that is no positive number is a mistake to tell, not to guess at."""
    response = await client.post(PATH, json=ASKED, headers={"X-Request-Timeout": header})

    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "X-Request-Timeout"
    assert service.answering.queries == []


async def test_a_refusal_reaches_the_caller_with_its_code(
    service: Service, client: httpx.AsyncClient
) -> None:
    """What answering raises becomes the contract's status, code and Retry-After."""

    async def refuse(query: Query) -> Answer:
        raise CircuitBreakerOpenError(retry_after_seconds=12.2)

    service.answering.script = refuse

    response = await client.post(PATH, json=ASKED)

    assert response.status_code == 503
    assert response.headers["retry-after"] == "13"
    assert response.json()["error"] == "circuit_breaker_open"


class Hanging:
    """Answers never; knows whether it was cancelled, and then ends as told."""

    def __init__(self, end: type[BaseException] = asyncio.CancelledError) -> None:
        self.started = asyncio.Event()
        self.cancelled = False
        self._end = end

    async def __call__(self, query: Query) -> Answer:
        """Wait for the cancellation."""
        self.started.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            self.cancelled = True
            raise self._end from None
        raise AssertionError("nobody resolves the future")


async def _asked(service: Service, script: Any) -> tuple[Connection, asyncio.Task[None]]:
    service.answering.script = script
    connection = service.connection(PATH)
    connection.arrives(json.dumps(ASKED).encode())
    serving = asyncio.create_task(connection.serve())
    await script.started.wait()
    return connection, serving


@pytest.mark.parametrize("end", [asyncio.CancelledError, CancelledByCallerError])
async def test_a_client_that_leaves_cancels_the_answering(service: Service, end: type[BaseException]) -> None:
    """Hanging up cancels the call at once; nothing is sent, 499 is counted, no task is left."""
    hanging = Hanging(end)
    connection, serving = await _asked(service, hanging)

    connection.client_leaves()
    await serving

    assert hanging.cancelled
    assert connection.sent == []
    [event] = service.observer.of(HttpRequestFinished)
    assert (event.status, event.error) == (499, None)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_cancelled_handler_cancels_the_answering(service: Service) -> None:
    """Cancelling the serving task ends the call and stays a cancellation."""
    hanging = Hanging()
    _, serving = await _asked(service, hanging)

    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving

    assert hanging.cancelled
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 does not count cancellations")
async def test_a_cancellation_outlives_the_client(service: Service) -> None:
    """When the task is cancelled just as the client leaves, the cancellation of others is not swallowed."""
    connection, serving = await _asked(service, Hanging())

    connection.client_leaves()
    serving.cancel()

    with pytest.raises(asyncio.CancelledError):
        await serving


async def test_an_answer_leaves_no_watcher_behind(service: Service) -> None:
    """The watch for the client ends with the answer."""
    connection = service.connection(PATH)
    connection.arrives(json.dumps(ASKED).encode())

    await connection.serve()

    assert connection.sent[0]["status"] == 200
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


class _Departures:
    """A server that tells by itself when the client leaves."""

    def __init__(self) -> None:
        self.watching: set[Callable[[], None]] = set()

    def watch(self, callback: Callable[[], None]) -> None:
        self.watching.add(callback)

    def unwatch(self, callback: Callable[[], None]) -> None:
        self.watching.discard(callback)


async def test_a_server_that_tells_of_departures_needs_no_watcher(service: Service) -> None:
    """The answering is cancelled all the same, with no task but its own, and nothing watches on."""
    departures, hanging = _Departures(), Hanging()
    service.answering.script = hanging
    connection = service.connection(PATH, **{DEPARTURES: departures})
    connection.arrives(json.dumps(ASKED).encode())
    serving = asyncio.create_task(connection.serve())
    await hanging.started.wait()
    assert asyncio.all_tasks() == {asyncio.current_task(), serving}

    [leave] = departures.watching
    leave()
    await serving

    assert hanging.cancelled
    assert connection.sent == []
    assert departures.watching == set()
    assert [event.status for event in service.observer.of(HttpRequestFinished)] == [499]


def test_the_body_is_what_its_schema_says() -> None:
    """Every field of the documented answer is there, of its type, and no other."""
    query = Query("r", ConversationId("ada", "s"), "What?")
    answer = Answer(
        query=query,
        text="4 \N{SNOWMAN}",
        model="m",
        reasoning_steps=2,
        tools_used=("a", "b"),
        usage=Usage(1, 2, 3),
        latency_seconds=0.0126,
        stored=True,
        seq=7,
        degraded=("memory",),
    )
    body = response_body(answer)

    assert QueryResponse.model_validate_json(body, strict=True).model_dump() == json.loads(body)
    assert json.loads(body)["latency_ms"] == 13


async def test_a_client_that_leaves_while_sending_asks_nothing(service: Service) -> None:
    """A body that breaks off is no query."""
    connection = service.connection(PATH)
    connection.arrives(b'{"user_id":', more_body=True)
    connection.client_leaves()

    await connection.serve()

    assert connection.sent == []
    assert service.answering.queries == []
    assert [event.status for event in service.observer.of(HttpRequestFinished)] == [499]


@pytest.mark.parametrize(
    "wrong", [{"max_question_chars": 0}, {"max_body_bytes": 0}, {"request_timeout_seconds": 0.0}]
)
def test_options_without_sense_are_refused(wrong: dict[str, Any]) -> None:
    """A limit that lets nothing through is a mistake."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ApiOptions(**wrong)
