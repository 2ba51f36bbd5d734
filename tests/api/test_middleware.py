"""The boundary around every request: identity, headers, errors, event."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING

import pytest

from agent_service.api.middleware import RequestBoundary
from agent_service.core.context import REQUEST_ID
from agent_service.core.errors import PoolExhaustedError
from agent_service.core.observer import HttpRequestFinished

if TYPE_CHECKING:
    import httpx
    from starlette.types import Receive, Scope, Send

    from agent_service.core.messages import Answer, Query
    from tests.api.conftest import Service

PATH = "/api/v1/query"
ASKED = {"user_id": "ada", "question": "What is 2+2?"}
Facts = tuple[str, str, int, float, str | None]


@pytest.mark.parametrize("request_id", ["a", "A-b_c.9", "x" * 64])
async def test_a_valid_request_id_is_kept(client: httpx.AsyncClient, request_id: str) -> None:
    """The caller's own identity comes back in header and body."""
    response = await client.post(PATH, json=ASKED, headers={"X-Request-ID": request_id})

    assert response.headers["x-request-id"] == response.json()["request_id"] == request_id


@pytest.mark.parametrize("request_id", [None, b"", b"x" * 65, b"a b", b"a/b", b"\xc3\xa9", b"a\n"])
async def test_another_request_id_is_replaced(client: httpx.AsyncClient, request_id: bytes | None) -> None:
    """What could forge a log line or is missing becomes a new UUID."""
    headers = [] if request_id is None else [(b"X-Request-ID", request_id)]

    response = await client.get("/nothing", headers=headers)

    assert uuid.UUID(response.headers["x-request-id"]).version == 4
    assert response.json()["request_id"] == response.headers["x-request-id"]


async def test_the_request_id_surrounds_the_work_and_nothing_else(
    service: Service, client: httpx.AsyncClient
) -> None:
    """Whoever works for a request can read its identity; afterwards it is gone."""
    seen: list[str] = []

    async def look(query: Query) -> Answer:
        seen.append(REQUEST_ID.get())
        return service.answering.reply(query)

    service.answering.script = look

    await client.post(PATH, json=ASKED, headers={"X-Request-ID": "req-1"})

    assert seen == ["req-1"]
    assert not REQUEST_ID.get()


@pytest.mark.parametrize("path", ["/api/v1/live", "/nothing", "/openapi.json", "/docs", "/api/v1/query"])
async def test_every_answer_has_the_security_headers(client: httpx.AsyncClient, path: str) -> None:
    """No answer is sniffed, and none is kept by caches unless it says so itself."""
    response = await client.get(path)

    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"


async def test_an_unexpected_error_is_logged_and_never_told(
    service: Service, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug is 500 with a general text; its own text goes to the log with its traceback."""

    async def break_down(query: Query) -> Answer:
        raise RuntimeError("secret /etc/path sk-123")

    service.answering.script = break_down

    with caplog.at_level(logging.ERROR):
        response = await client.post(PATH, json=ASKED)

    assert response.status_code == 500
    assert response.json()["error"] == "internal_error"
    assert "secret" not in response.text
    [record] = caplog.records
    assert record.exc_info is not None
    assert "secret" in str(record.exc_info[1])


@pytest.mark.parametrize(
    ("method", "path", "facts"),
    [
        (
            "GET",
            "/api/v1/users/eve%2F1/history?limit=5",
            ("/api/v1/users/{user_id}/history", "GET", 200, 0.0, None),
        ),
        ("HEAD", "/api/v1/live", ("/api/v1/live", "HEAD", 200, 0.0, None)),
        ("GET", "/docs/assets/swagger-ui.css", ("/docs/assets/{file}", "GET", 200, 0.0, None)),
        ("BREW", "/api/v1/query", ("/api/v1/query", "OTHER", 405, 0.0, "method_not_allowed")),
        ("GET", "/who/knows", ("unmatched", "GET", 404, 0.0, "not_found")),
        ("POST", "/api/v1/query", ("/api/v1/query", "POST", 415, 0.0, "unsupported_media_type")),
    ],
)
async def test_each_request_is_told_once_with_closed_labels(
    service: Service, client: httpx.AsyncClient, method: str, path: str, facts: Facts
) -> None:
    """One event per request, with its problem's code; route and method never hold what the caller made up."""
    await client.request(method, path, headers={"X-Request-ID": "req-1"})

    assert service.observer.events == [HttpRequestFinished("req-1", *facts)]


async def test_the_latency_is_the_clocks(service: Service, client: httpx.AsyncClient) -> None:
    """The event's latency is the time between request and answer."""

    async def take_time(query: Query) -> Answer:
        service.clock.advance(1.5)
        return service.answering.reply(query)

    service.answering.script = take_time

    await client.post(PATH, json=ASKED)

    [event] = service.observer.of(HttpRequestFinished)
    assert event.latency_seconds == pytest.approx(1.5)


@pytest.mark.parametrize("error", [PoolExhaustedError(), RuntimeError("broken")])
async def test_an_error_after_the_start_cuts_the_connection(service: Service, error: Exception) -> None:
    """Once a status is sent it stands; the error is raised so that the server ends the connection."""

    async def break_off(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise error

    app = RequestBoundary(break_off, observer=service.observer, clock=service.clock)
    sent = []

    async def send(message: object) -> None:
        sent.append(message)

    with pytest.raises(Exception, match=r"All agents|went wrong"):
        await app({"type": "http", "method": "GET", "headers": []}, _never, send)

    assert len(sent) == 1
    assert [event.status for event in service.observer.of(HttpRequestFinished)] == [200]


async def _never() -> dict[str, object]:
    raise AssertionError("nobody reads the body")
