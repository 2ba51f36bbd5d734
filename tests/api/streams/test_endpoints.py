"""POST /api/v1/query/stream: the same query as the plain endpoint's, followed."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.api.streams.endpoints import prefers_events
from agent_service.core.errors import PoolExhaustedError
from agent_service.core.messages import ConversationId
from agent_service.core.observer import RunStarted
from agent_service.core.stream_events import StreamEvent
from agent_service.memory.event_log.base import StreamPart

if TYPE_CHECKING:
    import httpx

    from agent_service.core.messages import Answer, Query
    from tests.api.conftest import Service

STREAM = "/api/v1/query/stream"
ASKED = {"user_id": "ada", "question": "Hi?", "session_id": "s"}


def _events(response: httpx.Response) -> list[tuple[str, Any]]:
    frames = [
        frame.split("\n") for frame in response.text.split("\n\n") if not frame.startswith(":") and frame
    ]
    return [
        (kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for _, kind, data in frames
    ]


def _following(service: Service) -> None:
    async def script(query: Query) -> Answer:
        if service.answering.listener is not None:
            service.answering.listener.observe(RunStarted(query.request_id, "agent"))
        return service.answering.reply(query)

    service.answering.script = script


@pytest.mark.parametrize(
    ("path", "headers"), [(STREAM, {}), ("/api/v1/query", {"Accept": "text/event-stream"})]
)
async def test_the_last_event_is_the_plain_answer(
    service: Service, path: str, headers: dict[str, str]
) -> None:
    """By either path; whoever reads only the last event misses nothing."""
    _following(service)
    headers = {**headers, "X-Request-ID": "r1", "X-Request-Timeout": "2", "If-Match": "3"}
    async with service.client() as client:
        streamed = await client.post(path, json=ASKED, headers=headers)
        plain = await client.post("/api/v1/query", json=ASKED, headers={"X-Request-ID": "r1"})

    assert [kind for kind, _ in _events(streamed)] == ["run.started", "answer.delta", "answer"]
    assert _events(streamed)[-1][1] == plain.json()
    assert _events(streamed)[1][1] == {"text": plain.json()["answer"]}
    asked = service.answering.queries[0]
    assert (asked.request_id, asked.timeout_seconds, asked.expected_seq) == ("r1", 2.0, 3)


async def test_nobody_between_us_and_the_client_keeps_events_back(service: Service) -> None:
    """Caches and buffering proxies are told to pass them on; the id to come back with is in a header."""
    _following(service)
    async with service.client() as client:
        response = await client.post(STREAM, json=ASKED, headers={"X-Request-ID": "r1"})

    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["x-request-id"] == "r1"
    assert "content-length" not in response.headers
    assert "idempotency-replayed" not in response.headers


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (STREAM, {"user_id": "ada"}, "question"),
        (f"{STREAM}?on_disconnect=wait", ASKED, "on_disconnect"),
        (f"{STREAM}?on_disconect=stop", ASKED, "on_disconect"),
    ],
)
async def test_an_invalid_request_has_its_status(
    service: Service, path: str, body: dict[str, str], field: str
) -> None:
    """Refusals are ordinary problems, not streams."""
    async with service.client() as client:
        response = await client.post(path, json=body)

    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert [at["field"] for at in response.json()["errors"]] == [field]


async def test_a_refused_admission_has_its_status(service: Service) -> None:
    """With what the caller needs to come back."""

    async def script(_: Query) -> Answer:
        raise PoolExhaustedError(retry_after_seconds=3)

    service.answering.script = script
    async with service.client() as client:
        response = await client.post(STREAM, json=ASKED)

    assert (response.status_code, response.headers["retry-after"]) == (503, "3")
    assert response.json()["error"] == "pool_exhausted"


async def test_a_repeated_query_gets_its_answer_as_a_stream(service: Service) -> None:
    """Nothing runs, so there are no steps: the text, the answer, and the header that says so."""

    async def script(query: Query) -> Answer:
        return replace(service.answering.reply(query), replayed=True)

    service.answering.script = script
    async with service.client() as client:
        response = await client.post(STREAM, json=ASKED, headers={"Idempotency-Key": "k"})

    assert response.headers["idempotency-replayed"] == "true"
    assert [kind for kind, _ in _events(response)] == ["answer.delta", "answer"]
    assert service.answering.queries[0].idempotency_key == "k"


@pytest.mark.parametrize(("option", "stops"), [("stop", True), ("continue", False)])
async def test_the_client_says_what_its_leaving_means(service: Service, option: str, stops: bool) -> None:
    """The run ends with its reader, unless it was to go on."""
    ends: list[str] = []
    go = asyncio.Event()

    async def script(query: Query) -> Answer:
        assert service.answering.listener is not None
        service.answering.listener.observe(RunStarted(query.request_id, "agent"))
        try:
            await go.wait()
        except asyncio.CancelledError:
            ends.append("stopped")
            raise
        ends.append("answered")
        return service.answering.reply(query)

    service.answering.script = script
    connection = service.connection(STREAM, query_string=f"on_disconnect={option}".encode())
    connection.arrives(json.dumps(ASKED).encode())
    serving = asyncio.create_task(connection.serve())
    for _ in range(50):
        await asyncio.sleep(0)
    connection.client_leaves()
    await serving
    go.set()
    for _ in range(50):
        await asyncio.sleep(0)

    assert ends == ["stopped" if stops else "answered"]


@pytest.mark.parametrize(
    ("accept", "events"),
    [
        ("text/event-stream", True),
        ("Text/Event-Stream; charset=utf-8", True),
        ("text/event-stream, application/json", True),
        ("application/json, text/event-stream", False),
        ("application/json;q=0.5, text/event-stream", True),
        ("text/event-stream;q=0.2, */*;q=0.1", True),
        ("text/event-stream;q=0", False),
        ("text/*", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_events_are_for_who_prefers_them(accept: str, events: bool) -> None:
    """A client that takes anything gets the plain answer."""
    assert prefers_events(accept) is events


async def _kept(service: Service, *events: StreamEvent) -> None:
    await service.log.start()
    await service.log.append([StreamPart(ConversationId("ada", "s"), "r1", "run", events)])


RESUME = "/api/v1/queries/r1/events?user_id=ada"
KEPT = (StreamEvent(1, "run.started", "{}"), StreamEvent(2, "answer", '{"answer":"4"}'))


@pytest.mark.parametrize(("headers", "ids"), [({}, ["1", "2"]), ({"Last-Event-ID": "1"}, ["2"])])
async def test_a_stream_is_picked_up_where_it_was_left(
    service: Service, headers: dict[str, str], ids: list[str]
) -> None:
    """The same events under the same ids; without a place from the begin."""
    await _kept(service, *KEPT)
    async with service.client() as client:
        response = await client.get(RESUME, headers=headers)

    assert response.headers["content-type"] == "text/event-stream"
    assert [line[4:] for line in response.text.splitlines() if line.startswith("id: ")] == ids
    assert _events(response)[-1] == ("answer", {"answer": "4"})


async def test_who_has_everything_is_told_not_to_come_back(service: Service) -> None:
    """204 is what makes an EventSource stop (WHATWG HTML, 9.2.3)."""
    await _kept(service, *KEPT)
    async with service.client() as client:
        response = await client.get(RESUME, headers={"Last-Event-ID": "2"})

    assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize(
    ("path", "headers", "field"),
    [
        ("/api/v1/queries/r1/events", {}, "user_id"),
        ("/api/v1/queries/a%20b/events?user_id=ada", {}, "request_id"),
        (RESUME, {"Last-Event-ID": "x"}, "Last-Event-ID"),
        (RESUME, {"Last-Event-ID": "-1"}, "Last-Event-ID"),
        (RESUME, {"Last-Event-ID": "9" * 16}, "Last-Event-ID"),
    ],
)
async def test_an_invalid_place_is_refused(
    service: Service, path: str, headers: dict[str, str], field: str
) -> None:
    """Each field at fault is named."""
    await _kept(service, *KEPT)
    async with service.client() as client:
        response = await client.get(path, headers=headers)

    assert response.status_code == 422
    assert [at["field"] for at in response.json()["errors"]] == [field]


@pytest.mark.parametrize(
    "path", ["/api/v1/queries/r1/events?user_id=bob", "/api/v1/queries/r2/events?user_id=ada"]
)
async def test_a_stream_is_its_users_alone(service: Service, path: str) -> None:
    """Another's is not found, exactly like one that never was."""
    await _kept(service, *KEPT)
    async with service.client() as client:
        asking = asyncio.create_task(client.get(path))
        while not asking.done():
            service.clock.advance(0.1)
            await asyncio.sleep(0)
        response = await asking

    assert response.status_code == 404
    assert response.json()["error"] == "not_found"
