from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from agent_service.server.departing_app import DepartingApp

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SCOPE = {"type": "http", "method": "GET", "path": "/", "headers": []}
START = {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]}


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that answers."""
    await send(dict(START))


async def cut_off(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that is cancelled before it answers."""
    raise asyncio.CancelledError


async def cut_off_half_way(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that is cancelled while it answers."""
    await send(dict(START))
    raise asyncio.CancelledError


async def _sent(app: ASGIApp) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is read")

    await app(SCOPE, receive, send)
    return sent


async def test_it_changes_nothing_before_the_departure() -> None:
    """Answers pass as they are, and a cancellation is somebody else's affair."""
    assert await _sent(DepartingApp(answering)) == [START]
    with pytest.raises(asyncio.CancelledError):
        await _sent(DepartingApp(cut_off))


async def test_answers_end_their_connection() -> None:
    """Keep-alive clients must come back elsewhere."""
    app = DepartingApp(answering)
    app.depart()
    assert (await _sent(app))[0]["headers"] == [(b"x", b"y"), (b"connection", b"close")]


async def test_a_request_that_is_cut_off_gets_503() -> None:
    """A client whose request is cut off learns that it may come back; nothing of the cause is told."""
    app = DepartingApp(cut_off)
    app.depart()
    start, body = await _sent(app)
    headers = dict(start["headers"])
    assert start["status"] == 503
    assert headers[b"connection"] == b"close"
    assert int(headers[b"retry-after"]) >= 1
    problem = json.loads(body["body"])
    assert (problem["error"], problem["request_id"]) == ("shutting_down", headers[b"x-request-id"].decode())


async def test_an_answer_that_is_cut_off_is_left_as_it_is() -> None:
    """After the first byte there is no other status; the server ends the connection."""
    app = DepartingApp(cut_off_half_way)
    app.depart()
    assert len(await _sent(app)) == 1
