"""A JSON document on its way to the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.api.json_answer import JsonAnswer

if TYPE_CHECKING:
    from starlette.types import Message


async def test_a_document_is_sent_whole_with_its_length_and_type() -> None:
    """As HTTP asks for, with the headers that were given beside."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is to be read")

    answer = JsonAnswer(b'{"a":1}', headers=((b"x-more", b"yes"),))
    await answer({"type": "http"}, receive, send)

    start, body = sent
    assert start["status"] == 200
    assert dict(start["headers"]) == {
        b"x-more": b"yes",
        b"content-length": b"7",
        b"content-type": b"application/json",
    }
    assert (body["body"], body.get("more_body", False)) == (b'{"a":1}', False)
    assert repr(answer) == "<JsonAnswer of 7 bytes>"
