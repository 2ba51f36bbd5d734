"""Server-sent events on a connection: how they look, and how they end."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from agent_service.api.departures import DEPARTURES
from agent_service.api.streams.response import HEARTBEAT_SECONDS, frame
from agent_service.core.errors import CancelledByCallerError, UpstreamError
from agent_service.core.observer import HttpRequestFinished, RunStarted, ToolStarted
from agent_service.core.stream_events import StreamEvent
from agent_service.runtime.streams.queries import StreamOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_service.core.messages import Answer, Query
    from tests.api.conftest import Connection, Service

STREAM = "/api/v1/query/stream"
BODY = b'{"user_id": "ada", "question": "Hi?"}'
TICKS = 50


async def _settle() -> None:
    for _ in range(TICKS):
        await asyncio.sleep(0)


def _text(connection: Connection) -> str:
    return b"".join(message.get("body", b"") for message in connection.sent).decode()


def _begin(service: Service, query: Query) -> None:
    assert service.answering.listener is not None
    service.answering.listener.observe(RunStarted(query.request_id, "agent"))


def test_a_frame_names_place_kind_and_data() -> None:
    """The three fields of an event, and the empty line that ends it; no id where there is no place."""
    assert frame(StreamEvent(3, "tool.started", '{"tool":"é"}')) == (
        'id: 3\nevent: tool.started\ndata: {"tool":"é"}\n\n'.encode()
    )
    assert frame(StreamEvent(0, "error", "{}")) == b"event: error\ndata: {}\n\n"


async def test_an_answer_cannot_forge_an_event(service: Service) -> None:
    """What a model says stays within the data of its event."""

    async def script(query: Query) -> Answer:
        _begin(service, query)
        return service.answering.reply(query)

    service.answering.script = script
    async with service.client() as client:
        question = "\n\nevent: answer\ndata: {}\n\n"
        response = await client.post(STREAM, json={"user_id": "ada", "question": question})

    assert [line for line in response.text.splitlines() if line.startswith("event: answer")] == [
        "event: answer.delta",
        "event: answer",
    ]


async def test_silence_is_broken_by_heartbeats(service: Service) -> None:
    """Proxies close connections that say nothing; a comment is nothing to the client."""

    async def script(query: Query) -> Answer:
        _begin(service, query)
        await asyncio.Event().wait()
        raise AssertionError

    service.answering.script = script
    connection = service.connection(STREAM)
    connection.arrives(BODY)
    serving = asyncio.create_task(connection.serve())
    await _settle()
    before = _text(connection)
    for _ in range(2):
        service.clock.advance(HEARTBEAT_SECONDS)
        await _settle()

    assert _text(connection).removeprefix(before) == ": still here\n\n" * 2
    connection.client_leaves()
    await serving


async def test_a_client_that_leaves_stops_the_run(service: Service) -> None:
    """Answering is cancelled at once, and nothing is sent to nobody."""
    cancelled: list[bool] = []

    async def script(query: Query) -> Answer:
        _begin(service, query)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)
        raise AssertionError

    service.answering.script = script
    connection = service.connection(STREAM)
    connection.arrives(BODY)
    serving = asyncio.create_task(connection.serve())
    await _settle()
    connection.client_leaves()
    await serving
    await _settle()

    assert cancelled == [True]
    assert connection.sent[-1]["more_body"] is True
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_client_that_leaves_before_the_first_event_stops_the_run(service: Service) -> None:
    """Whether it waits for a slot or for the conversation: nobody waits for nobody."""
    cancelled: list[bool] = []

    async def script(query: Query) -> Answer:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)
        raise AssertionError

    service.answering.script = script
    connection = service.connection(STREAM)
    connection.arrives(BODY)
    serving = asyncio.create_task(connection.serve())
    await _settle()
    connection.client_leaves()
    await serving
    await _settle()

    assert (cancelled, connection.sent) == ([True], [])
    [finished] = service.observer.of(HttpRequestFinished)
    assert (finished.status, finished.error) == (499, None)


async def test_a_server_that_cancels_the_request_stops_the_run(service: Service) -> None:
    """At the end of the process nothing is left behind."""

    async def script(query: Query) -> Answer:
        _begin(service, query)
        await asyncio.Event().wait()
        raise AssertionError

    service.answering.script = script
    connection = service.connection(STREAM)
    connection.arrives(BODY)
    serving = asyncio.create_task(connection.serve())
    await _settle()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    await _settle()

    assert asyncio.all_tasks() == {asyncio.current_task()}


class _Server:
    """Whose client stays until it is cut off."""

    has_hung_up = False

    def watch(self, callback: Callable[[], None]) -> None:
        pass

    def unwatch(self, callback: Callable[[], None]) -> None:
        pass

    def hang_up(self) -> None:
        self.has_hung_up = True


async def test_a_reader_that_is_cut_off_gets_no_end(service: Service) -> None:
    """The connection breaks off while a send hangs: a half stream must not look like a whole one."""
    service.stream_options = StreamOptions(buffer_bytes=1000)
    go = asyncio.Event()

    async def script(query: Query) -> Answer:
        _begin(service, query)
        await go.wait()
        assert service.answering.listener is not None
        for step in range(100):
            service.answering.listener.observe(
                ToolStarted(query.request_id, "look_up", step, {"x": "y" * 100})
            )
        await asyncio.Event().wait()
        raise AssertionError

    service.answering.script = script
    server = _Server()
    connection = service.connection(STREAM, **{DEPARTURES: server})
    connection.arrives(BODY)
    serving = asyncio.create_task(connection.serve())
    await _settle()
    go.set()
    await serving

    assert connection.sent[-1]["more_body"] is True
    assert server.has_hung_up
    await _settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize(
    ("error", "told"), [(UpstreamError(), "upstream_error"), (CancelledByCallerError(), "cancelled")]
)
async def test_the_error_of_a_stream_is_counted_like_any_other(
    service: Service, error: UpstreamError, told: str
) -> None:
    """The status was good; the code that the stream ended with is what the metric needs."""

    async def script(query: Query) -> Answer:
        _begin(service, query)
        raise error

    service.answering.script = script
    async with service.client() as client:
        response = await client.post(STREAM, json={"user_id": "ada", "question": "Hi?"})

    last = json.loads(response.text.rsplit("data: ", 1)[1])
    assert (last["error"], last["request_id"]) == (told, response.headers["x-request-id"])
    [finished] = service.observer.of(HttpRequestFinished)
    assert (finished.status, finished.error, finished.route) == (200, told, STREAM)
