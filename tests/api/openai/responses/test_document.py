from __future__ import annotations

from agent_service.api.openai.responses.document import Outline, message_item, reasoning_item, usage_of
from agent_service.api.openai.responses.identity import ResponseIdentity
from agent_service.api.openai.schemas import ResponseRequest


def test_a_response_tells_its_request_again() -> None:
    """Instructions, metadata, user, what it continues; whether it is kept is told as it is."""
    request = ResponseRequest.model_validate(
        {
            "model": "fake",
            "input": "Hi?",
            "instructions": "Be brief.",
            "previous_response_id": "resp_1",
            "user": "ada",
            "metadata": {"session_id": "s", "team": "a"},
        }
    )
    outline = Outline(ResponseIdentity("s", "t"), request, 7)

    document = outline.document("completed", [], is_kept=False)

    assert {key: document[key] for key in ("id", "created_at", "model", "store", "previous_response_id")} == {
        "id": "resp_t_cw",
        "created_at": 7,
        "model": "fake",
        "store": False,
        "previous_response_id": "resp_1",
    }
    assert (document["instructions"], document["user"]) == ("Be brief.", "ada")
    assert document["metadata"] == {"session_id": "s", "team": "a"}
    assert outline.document("completed", [], is_kept=True)["store"] is True


def test_an_item_in_progress_has_no_content_yet() -> None:
    """Clients build it up from the events that follow."""
    assert message_item("m", "text", status="in_progress")["content"] == []
    assert message_item("m", "text")["content"][0]["text"] == "text"
    assert reasoning_item("r", None)["summary"] == []
    assert reasoning_item("r", "x")["summary"] == [{"type": "summary_text", "text": "x"}]


def test_usage_adds_up() -> None:
    """In the names of responses."""
    assert usage_of(10, 5)["total_tokens"] == 15
