"""The OpenAI-compatible endpoints of real processes; other people's clients have a folder of their own."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.processes import Service

RECALL = "What did I ask before?"


def _respond(service: Service, question: str, **more: Any) -> dict[str, Any]:
    body = {"model": "default", "input": question, "user": "ada", **more}
    response = service.client.post("/v1/responses", json=body)
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


def _text(response: dict[str, Any]) -> str:
    return str(response["output"][-1]["content"][0]["text"])


def test_a_response_is_continued_after_a_restart(serve: Callable[..., Service]) -> None:
    """Its id says all that any process needs; what was said meanwhile is not part of it."""
    first = serve()
    one = _respond(first, "What is 17 * 23?")
    _respond(first, "What is 1 + 1?", previous_response_id=one["id"])
    first.signal(signal.SIGTERM)
    assert first.status() == 0

    again = _respond(serve(), RECALL, previous_response_id=one["id"])

    assert "17 * 23" in _text(again)
    assert "1 + 1" not in _text(again)


def test_what_is_not_to_be_stored_is_stored_nowhere(serve: Callable[..., Service]) -> None:
    """No conversation, and no events that could be read again."""
    service = serve()
    body = {"model": "default", "input": "What is 17 * 23?", "user": "ada", "store": False, "stream": True}
    streamed = service.client.post("/v1/responses", json=body, headers={"X-Request-ID": "r1"})
    assert "391" in streamed.text

    sessions = service.client.get("/api/v1/users/ada/sessions").json()["sessions"]
    events = service.client.get("/api/v1/queries/r1/events?user_id=ada")

    assert sessions == []
    assert events.status_code == 404


def test_an_erased_conversation_is_not_continued(serve: Callable[..., Service]) -> None:
    """Erasing means it for responses too."""
    service = serve()
    one = _respond(service, "What is 17 * 23?")
    service.client.delete("/api/v1/users/ada/history").raise_for_status()

    body = {"model": "default", "input": RECALL, "user": "ada", "previous_response_id": one["id"]}
    gone = service.client.post("/v1/responses", json=body)

    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "not_found")
