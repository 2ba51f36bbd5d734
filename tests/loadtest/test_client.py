from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from agent_service.loadtest.client import Client, Endpoint, reply_of
from agent_service.loadtest.load import Reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Echo:
    """Keeps what it is sent; the question ``hang`` gets no answer."""

    def __init__(self) -> None:
        self.url = ""
        self.got: list[Any] = []
        self.keys: list[str | None] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.got.append(await request.json())
        self.keys.append(request.headers.get("authorization"))
        if self.got[-1]["question"] == "hang":
            await asyncio.Event().wait()
        return web.json_response({"answer": "x", "usage": {"lm_calls": 3}})


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    found = Echo()
    app = web.Application()
    app.router.add_post("/ask", found.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/ask"
    yield found
    await runner.cleanup()


async def test_queries_are_numbered_and_carry_the_headers(echo: Echo) -> None:
    """Each is made from a number of its own."""
    endpoint = Endpoint(echo.url, lambda n: {"question": f"q{n}"}, {"authorization": "Bearer k"})
    async with Client(endpoint) as client:
        replies = [await client.send(), await client.send()]
    assert replies == [Reply(lm_calls=3)] * 2
    assert echo.got == [{"question": "q1"}, {"question": "q2"}]
    assert echo.keys == ["Bearer k"] * 2


async def test_a_reply_that_does_not_come_in_time_is_an_error(echo: Echo) -> None:
    """The load goes on."""
    async with Client(Endpoint(echo.url, lambda _: {"question": "hang"}), timeout_seconds=0.05) as client:
        assert (await client.send()).error == "no_reply_in_time"


async def test_a_connection_that_fails_is_an_error() -> None:
    """The load goes on."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/ask"
    async with Client(Endpoint(url, lambda _: {})) as client:
        assert (await client.send()).error == "connection_failed: ClientConnectorError"


async def test_it_sends_only_inside_its_context() -> None:
    """There is no connection outside of it."""
    with pytest.raises(RuntimeError, match="context"):
        await Client(Endpoint("http://127.0.0.1/", lambda _: {})).send()


@pytest.mark.parametrize(
    ("status", "body", "reply"),
    [
        (200, b'{"answer": "4", "usage": {"lm_calls": 2}}', Reply(lm_calls=2)),
        (200, b'{"status": "success"}', Reply()),
        (200, b'["no", "object"]', Reply()),
        (503, b'{"error": "pool_exhausted"}', Reply("pool_exhausted")),
        (500, b'{"detail": "x"}', Reply("http_500")),
        (502, b"<html>", Reply("http_502")),
    ],
)
def test_a_reply_is_an_answer_or_an_error_by_its_code(status: int, body: bytes, reply: Reply) -> None:
    """The code of a problem, else the status."""
    assert reply_of(status, body) == reply
