from __future__ import annotations

import json
from typing import TYPE_CHECKING

from agent_service.core.messages import ConversationId
from agent_service.core.observer import RunStarted

if TYPE_CHECKING:
    import httpx

    from agent_service.core.messages import Answer, Query
    from tests.api.conftest import Service

PATH = "/v1/chat/completions"
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello?"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Hi?"},
]
ASKED = {"model": "fake", "messages": MESSAGES}


async def test_a_completion_is_the_answer(client: httpx.AsyncClient) -> None:
    """The message, its tokens, and the tools that were used as reasoning."""
    response = await client.post(PATH, json=ASKED, headers={"X-Request-ID": "r1"})

    completion = response.json()
    assert completion == {
        "id": "chatcmpl-r1",
        "object": "chat.completion",
        "created": completion["created"],
        "model": "fake",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "You said: Hi?",
                    "refusal": None,
                    "reasoning_content": "Used calculator.\n",
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        "system_fingerprint": None,
    }


async def test_the_messages_are_the_conversation(service: Service, client: httpx.AsyncClient) -> None:
    """Nothing stored is mixed in, and nothing is stored."""
    await client.post(PATH, json={**ASKED, "user": "ada"})

    (query,) = service.answering.queries
    assert (query.conversation.user_id, query.question, query.instructions) == ("ada", "Hi?", "Be brief.")
    assert [(turn.question, turn.answer) for turn in query.before] == [("Hello?", "Hello.")]
    assert (query.is_recalled, query.is_kept) == (False, False)


async def test_a_session_is_asked_for_by_name(service: Service, client: httpx.AsyncClient) -> None:
    """Then its stored conversation goes on."""
    await client.post(PATH, json={**ASKED, "metadata": {"user_id": "ada", "session_id": "trip"}})

    (query,) = service.answering.queries
    assert query.conversation == ConversationId("ada", "trip")
    assert (query.is_recalled, query.is_kept) == (True, True)


async def test_each_question_has_a_turn_of_its_own(service: Service, client: httpx.AsyncClient) -> None:
    """Also under the same request id, which clients may repeat."""
    for _ in range(2):
        await client.post(PATH, json=ASKED, headers={"X-Request-ID": "r1"})

    assert len({query.turn_id for query in service.answering.queries}) == 2


async def test_a_completion_is_streamed(service: Service) -> None:
    """The run's events in chunks, with usage when it is asked for."""

    async def script(query: Query) -> Answer:
        if service.answering.listener is not None:
            service.answering.listener.observe(RunStarted(query.request_id, "agent"))
        return service.answering.reply(query)

    service.answering.script = script
    asked = {**ASKED, "stream": True, "stream_options": {"include_usage": True}}
    async with service.client() as client:
        response = await client.post(PATH, json=asked, headers={"X-Request-ID": "r1"})

    *lines, end = [line.removeprefix("data: ") for line in response.text.split("\n\n")[:-1]]
    chunks = [json.loads(line) for line in lines]
    text = "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])
    assert response.headers["content-type"] == "text/event-stream"
    assert text == "You said: Hi?"
    assert chunks[-1]["usage"]["total_tokens"] == 15
    assert {chunk["id"] for chunk in chunks} == {"chatcmpl-r1"}
    assert end == "[DONE]"
