"""Which path and method exist, and what the others get."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx
    from starlette.types import Message

    from tests.api.conftest import Service

HISTORY = "/api/v1/users/ada/history"


@pytest.mark.parametrize(
    "path", ["/nothing", "/api/v1/query/", "/api/v1/health/", "/api/v1", "/docs/", "/api/v1/users/ada"]
)
async def test_an_unknown_path_is_a_problem_document(client: httpx.AsyncClient, path: str) -> None:
    """A path that is not served is 404, a trailing slash included: no redirects."""
    response = await client.get(path)

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["error"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/v1/query", {"POST"}),
        ("OPTIONS", "/api/v1/query", {"POST"}),
        ("POST", HISTORY, {"GET", "HEAD", "DELETE"}),
        ("PUT", HISTORY, {"GET", "HEAD", "DELETE"}),
        ("POST", "/api/v1/health", {"GET", "HEAD"}),
        ("GET", "/api/v1/circuit-breaker/reset", {"POST"}),
        ("DELETE", "/docs", {"GET", "HEAD"}),
        ("BREW", "/", {"GET", "HEAD"}),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(
    client: httpx.AsyncClient, method: str, path: str, allowed: set[str]
) -> None:
    """A known path with another method is 405 and lists in Allow what would be answered."""
    response = await client.request(method, path)

    assert response.status_code == 405
    assert response.json()["error"] == "method_not_allowed"
    assert set(response.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/health",
        "/api/v1/live",
        "/api/v1/ready",
        "/api/v1/metrics",
        "/api/v1/info",
        HISTORY,
        "/docs",
        "/docs/assets/start.js",
        "/docs/assets/swagger-ui.css",
        "/openapi.json",
    ],
)
async def test_head_is_answered_where_get_is(client: httpx.AsyncClient, path: str) -> None:
    """HEAD has the status and headers of GET."""
    got, headed = await client.get(path), await client.head(path)

    assert headed.status_code == got.status_code == 200
    assert headed.headers["content-type"] == got.headers["content-type"]
    assert headed.headers["content-length"] == got.headers["content-length"]


async def test_a_websocket_is_closed(service: Service) -> None:
    """There is nothing to talk to over a websocket; the handshake is refused, not crashed."""
    connection = service.connection("/api/v1/query", type="websocket")

    await connection.serve()

    assert [message["type"] for message in connection.sent] == ["websocket.close"]


async def test_the_lifespan_is_entered_and_left(service: Service) -> None:
    """The server's startup and shutdown enter and leave the lifespan that was handed in."""
    life: list[str] = []
    sent: list[Message] = []
    signals: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        life.append("entered")
        yield
        life.append("left")

    async def receive() -> Message:
        return signals.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await service.app(lifespan=lifespan)({"type": "lifespan"}, receive, send)

    assert life == ["entered", "left"]
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
