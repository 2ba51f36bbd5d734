from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.core.messages import ConversationId
from agent_service.core.observer import RunStarted

if TYPE_CHECKING:
    import httpx

    from agent_service.core.messages import Answer, Query
    from tests.api.conftest import Service

PATH = "/v1/responses"
ASKED: dict[str, Any] = {"model": "fake", "input": "Hi?"}


async def test_a_response_is_the_answer_after_its_steps(service: Service, client: httpx.AsyncClient) -> None:
    """Tools as reasoning, the text as a message, the tokens, and whether it is kept."""
    response = (await client.post(PATH, json=ASKED)).json()

    reasoning, message = response["output"]
    assert reasoning["summary"] == [{"type": "summary_text", "text": "Used calculator."}]
    assert message["content"][0]["text"] == "You said: Hi?"
    assert (response["status"], response["object"], response["store"]) == ("completed", "response", True)
    assert response["usage"]["total_tokens"] == 15
    assert service.answering.queries[0].turn_id in response["id"]


async def test_a_response_is_kept_in_a_session_of_its_own(
    service: Service, client: httpx.AsyncClient
) -> None:
    """One that nobody else asks in, so that nothing need be read."""
    await client.post(PATH, json={**ASKED, "user": "ada"})
    await client.post(PATH, json={**ASKED, "user": "ada"})

    one, two = service.answering.queries
    assert one.conversation.user_id == "ada"
    assert one.conversation != two.conversation
    assert (one.is_recalled, one.is_kept) == (False, True)


async def test_a_response_is_kept_in_the_session_that_is_named(
    service: Service, client: httpx.AsyncClient
) -> None:
    """And goes on there."""
    await client.post(PATH, json={**ASKED, "metadata": {"session_id": "trip"}})

    (query,) = service.answering.queries
    assert query.conversation == ConversationId("anonymous", "trip")
    assert (query.is_recalled, query.is_kept, query.after_turn_id) == (True, True, None)


async def test_a_response_that_is_not_to_be_kept_is_not(service: Service, client: httpx.AsyncClient) -> None:
    """Nor can it be continued."""
    response = (await client.post(PATH, json={**ASKED, "store": False})).json()
    continued = await client.post(PATH, json={**ASKED, "previous_response_id": response["id"]})

    (query,) = service.answering.queries
    assert (query.is_recalled, query.is_kept) == (False, False)
    assert (continued.status_code, continued.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("store", [True, False])
async def test_a_response_is_continued_where_it_is_kept(
    service: Service, client: httpx.AsyncClient, store: bool
) -> None:
    """By its id, or by a reference to its answer; for the user who asks, whoever had it."""
    first = (await client.post(PATH, json={**ASKED, "user": "ada"})).json()
    reference = {"type": "item_reference", "id": first["output"][1]["id"]}
    question = {"role": "user", "content": "And?"}

    for more in (
        {"previous_response_id": first["id"], "input": "And?"},
        {"input": [{"role": "user", "content": "Hi?"}, reference, question]},
    ):
        await client.post(PATH, json={**ASKED, "user": "bob", "store": store, **more})

    kept, *continued = service.answering.queries
    for query in continued:
        assert query.conversation == ConversationId("bob", kept.conversation.session_id)
        assert query.after_turn_id == kept.turn_id
        assert (query.question, query.before) == ("And?", ())
        assert (query.is_recalled, query.is_kept) == (True, store)


async def test_a_response_is_not_continued_elsewhere(service: Service, client: httpx.AsyncClient) -> None:
    """Its own session may be named with it, no other."""
    first = (await client.post(PATH, json={**ASKED, "metadata": {"session_id": "trip"}})).json()
    more = {**ASKED, "previous_response_id": first["id"]}

    same = await client.post(PATH, json={**more, "metadata": {"session_id": "trip"}})
    other = await client.post(PATH, json={**more, "metadata": {"session_id": "work"}})

    assert same.status_code == 200
    assert (other.status_code, other.json()["error"]["param"]) == (422, "metadata.session_id")


async def test_instructions_come_before_those_of_the_input(
    service: Service, client: httpx.AsyncClient
) -> None:
    """Both instruct the program."""
    items = [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi?"}]

    await client.post(PATH, json={**ASKED, "instructions": "I", "input": items})

    assert service.answering.queries[0].instructions == "I\n\nS"


async def test_a_response_is_streamed(service: Service) -> None:
    """Under one id from its first event to its last."""

    async def script(query: Query) -> Answer:
        if service.answering.listener is not None:
            service.answering.listener.observe(RunStarted(query.request_id, "agent"))
        return service.answering.reply(query)

    service.answering.script = script
    async with service.client() as client:
        response = await client.post(PATH, json={**ASKED, "stream": True})

    frames = [frame.split("\n") for frame in response.text.split("\n\n")[:-1]]
    events = [json.loads(data.removeprefix("data: ")) for _, data in frames]
    assert events[0]["type"] == "response.created"
    assert events[-1]["type"] == "response.completed"
    assert events[0]["response"]["id"] == events[-1]["response"]["id"]
    assert events[-1]["response"]["output"][-1]["content"][0]["text"] == "You said: Hi?"
