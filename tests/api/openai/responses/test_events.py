from __future__ import annotations

import json
from typing import Any

from agent_service.api.openai.responses.document import Outline
from agent_service.api.openai.responses.events import ResponseEvents
from agent_service.api.openai.responses.identity import ResponseIdentity
from agent_service.api.openai.schemas import ResponseRequest
from agent_service.core.stream_events import StreamEvent

ANSWER = {"answer": "Four.", "stored": True, "usage": {"prompt_tokens": 10, "completion_tokens": 5}}
STEP = {"tool": "add", "arguments": {"a": 1}}


def _written(*events: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    request = ResponseRequest.model_validate({"model": "fake", "input": "Hi?"})
    writer = ResponseEvents(Outline(ResponseIdentity("s", "t"), request, 7))
    frames = b"".join(writer.write([StreamEvent(1, kind, json.dumps(data))]) for kind, data in events)
    told = []
    for frame in frames.decode().split("\n\n")[:-1]:
        kind, data = frame.split("\n")
        told.append(json.loads(data.removeprefix("data: ")))
        assert told[-1]["type"] == kind.removeprefix("event: ")
    return told


def test_a_run_is_told_in_the_order_that_clients_build_it_up() -> None:
    """The response, each step as an item of its own, the answer's parts, the whole; numbered from 0."""
    told = _written(
        ("run.started", {}),
        ("lm.started", {}),
        ("tool.started", STEP),
        ("answer.delta", {"text": "Fo"}),
        ("answer.delta", {"text": "ur."}),
        ("answer", ANSWER),
    )

    assert [event["type"].removeprefix("response.") for event in told] == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in told] == list(range(16))
    assert [event["output_index"] for event in told if "output_index" in event] == [0] * 6 + [1] * 7


def test_the_last_event_has_the_whole_response() -> None:
    """Under the id of the first one, with all items and the tokens."""
    told = _written(("run.started", {}), ("tool.started", STEP), ("answer", ANSWER))

    first, last = told[0]["response"], told[-1]["response"]
    assert first["id"] == last["id"] == "resp_t_cw"
    assert (first["status"], first["usage"], last["status"]) == ("in_progress", None, "completed")
    assert [item["type"] for item in last["output"]] == ["reasoning", "message"]
    assert last["output"][0]["summary"][0]["text"] == "Used add(a=1)."
    assert last["output"][1]["content"][0]["text"] == "Four."
    assert (last["usage"]["total_tokens"], last["store"]) == (15, True)


def test_deltas_are_the_answer() -> None:
    """Whether it was streamed, in part or not at all; an empty answer has its message too."""
    for sent in ([], ["Fo"], ["Fo", "ur."]):
        told = _written(*[("answer.delta", {"text": text}) for text in sent], ("answer", ANSWER))
        deltas = [event["delta"] for event in told if event["type"] == "response.output_text.delta"]
        assert "".join(deltas) == "Four."
        assert all(deltas)
    empty = _written(("answer", {**ANSWER, "answer": ""}))
    assert "response.output_item.added" in [event["type"] for event in empty]


def test_an_answer_that_was_replaced_is_an_error() -> None:
    """Nobody is left with half of another answer as if it were whole."""
    told = _written(
        ("run.started", {}),
        ("answer.delta", {"text": "Five"}),
        ("answer.reset", {}),
        ("answer.delta", {"text": "Four."}),
        ("answer", ANSWER),
    )

    assert [event["type"] for event in told][-2:] == ["error", "response.failed"]
    assert told[-1]["response"]["error"]["code"] == "upstream_error"
    assert [event["delta"] for event in told if "delta" in event] == ["Five"]


def test_a_replaced_answer_that_begins_the_same_goes_on() -> None:
    """What was sent is a part of it."""
    told = _written(("answer.delta", {"text": "Fo"}), ("answer.reset", {}), ("answer", ANSWER))

    assert [event["delta"] for event in told if "delta" in event] == ["Fo", "ur."]
    assert told[-1]["type"] == "response.completed"


def test_an_error_ends_the_stream_in_both_forms_that_clients_look_for() -> None:
    """An event of its own, which OpenAI's SDKs raise, and the response that failed."""
    told = _written(("run.started", {}), ("error", {"status": 504, "error": "timeout", "detail": "Late."}))

    error, failed = told[-2:]
    assert (error["code"], error["message"]) == ("timeout", "Late.")
    assert error["error"]["type"] == "server_error"
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
    assert failed["response"]["error"] == {"code": "timeout", "message": "Late."}
