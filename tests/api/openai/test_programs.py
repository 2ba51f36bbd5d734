from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.api.query import ApiOptions
from tests.api.conftest import Connection

if TYPE_CHECKING:
    import httpx

    from agent_service.core.messages import Answer, Query
    from tests.api.conftest import Service

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
MESSAGES = [{"role": "user", "content": "Hi?"}]


def _body(path: str, **more: Any) -> dict[str, Any]:
    asked = {"messages": MESSAGES} if path == CHAT else {"input": MESSAGES}
    return {"model": "fake", **asked, **more}


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
async def test_another_model_is_not_served(service: Service, client: httpx.AsyncClient, path: str) -> None:
    """Nothing runs, and the error names the one that is."""
    response = await client.post(path, json=_body(path, model="gpt-4o"))

    assert response.status_code == 404
    assert "'fake'" in response.json()["error"]["message"]
    assert service.answering.queries == []


@pytest.mark.parametrize(("path", "field"), [(CHAT, "messages"), (RESPONSES, "input")])
@pytest.mark.parametrize("question", ["  ", "a\0b", "x" * 9])
async def test_a_question_is_held_to_the_rules_of_a_query(
    service: Service, path: str, field: str, question: str
) -> None:
    """Blank, with NUL, or too long: the field at fault is the one that the client knows."""
    service.options = ApiOptions(max_question_chars=8)
    messages = [{"role": "user", "content": question}]
    async with service.client() as client:
        response = await client.post(path, json=_body(path, **{field: messages}))

    assert response.status_code == 422
    assert response.json()["error"]["param"] == field
    assert service.answering.queries == []


async def test_the_time_limit_of_a_query_holds(service: Service) -> None:
    """The caller's own, never longer than the service's."""
    service.options = ApiOptions(request_timeout_seconds=5)
    async with service.client() as client:
        for limit in ("2.5", "60"):
            await client.post(CHAT, json=_body(CHAT), headers={"X-Request-Timeout": limit})
        refused = await client.post(CHAT, json=_body(CHAT), headers={"X-Request-Timeout": "soon"})

    assert [query.timeout_seconds for query in service.answering.queries] == [2.5, 5.0]
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "X-Request-Timeout")


@pytest.mark.parametrize("path", [CHAT, RESPONSES])
async def test_a_body_is_read_as_everywhere(client: httpx.AsyncClient, path: str) -> None:
    """What is no JSON, or not said to be, is refused in OpenAI's shape."""
    malformed = await client.post(path, content=b"{", headers={"Content-Type": "application/json"})
    form = await client.post(path, data={"model": "fake"})

    assert (malformed.status_code, malformed.json()["error"]["code"]) == (400, "invalid_request")
    assert (form.status_code, form.json()["error"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("stream", [b"false", b"true"])
async def test_a_client_that_leaves_stops_the_run(service: Service, stream: bytes) -> None:
    """Plain or streamed, before anything was sent."""
    stopped = asyncio.Event()
    begun = asyncio.Event()

    async def hang(query: Query) -> Answer:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return service.answering.reply(query)

    service.answering.script = hang
    connection = Connection(service.app(), CHAT)
    connection.arrives(
        b'{"model":"fake","messages":[{"role":"user","content":"Hi?"}],"stream":' + stream + b"}"
    )
    serving = asyncio.create_task(connection.serve())
    await begun.wait()

    connection.client_leaves()

    await asyncio.wait_for(stopped.wait(), 5)
    await asyncio.wait_for(serving, 5)
    assert connection.sent == []
