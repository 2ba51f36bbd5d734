from __future__ import annotations

import json
from typing import Any

from agent_service.api.openai.chat.chunks import ChatChunks
from agent_service.core.stream_events import StreamEvent

ANSWER = {"answer": "Four.", "usage": {"prompt_tokens": 10, "completion_tokens": 5}}


def _written(*events: tuple[str, dict[str, Any]], with_usage: bool = False) -> list[Any]:
    """What each line says, and the mark of the end."""
    chunks = ChatChunks("r1", "fake", created=7, with_usage=with_usage)
    lines = b"".join(chunks.write([StreamEvent(1, kind, json.dumps(data))]) for kind, data in events)
    said = [line.removeprefix("data: ") for line in lines.decode().split("\n\n")[:-1]]
    return [text if text == "[DONE]" else json.loads(text) for text in said]


def _deltas(*events: tuple[str, dict[str, Any]]) -> list[Any]:
    return [
        each
        if isinstance(each, str)
        else each.get("error") or (each["choices"][0]["delta"], each["choices"][0]["finish_reason"])
        for each in _written(*events)
    ]


def test_a_run_is_told_in_chunks() -> None:
    """The role first, each tool step as reasoning, the text as it comes, then why it ends."""
    assert _deltas(
        ("run.started", {}),
        ("lm.started", {}),
        ("tool.started", {"tool": "add", "arguments": {"a": 1}}),
        ("tool.finished", {}),
        ("answer.delta", {"text": "Fo"}),
        ("answer.delta", {"text": "ur."}),
        ("answer", ANSWER),
    ) == [
        ({"role": "assistant", "content": ""}, None),
        ({"reasoning_content": "Used add(a=1).\n"}, None),
        ({"content": "Fo"}, None),
        ({"content": "ur."}, None),
        ({}, "stop"),
        "[DONE]",
    ]


def test_every_chunk_names_the_completion() -> None:
    """The same id, date and model throughout."""
    first, *_ = _written(("run.started", {}))

    assert {key: first[key] for key in ("id", "object", "created", "model")} == {
        "id": "chatcmpl-r1",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "fake",
    }


def test_the_last_chunks_name_the_version() -> None:
    """Before the answer nobody knows it, or tells it of an answer from before there were versions."""
    first, *_, last, _ = _written(("run.started", {}), ("answer", {**ANSWER, "program_version": "v1"}))
    *_, without, _ = _written(("answer", ANSWER))

    assert [each["system_fingerprint"] for each in (first, last, without)] == [None, "v1", None]


def test_usage_is_a_last_chunk_for_who_asked() -> None:
    """Without a choice, as clients expect it."""
    usage = _written(("answer", ANSWER), with_usage=True)[-2]

    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    assert all(chunk == "[DONE]" or "usage" not in chunk for chunk in _written(("answer", ANSWER)))


def test_what_was_not_streamed_comes_with_the_end() -> None:
    """An answer without deltas, or with some missing, is whole."""
    assert _deltas(("answer", ANSWER))[0] == ({"content": "Four."}, None)
    assert _deltas(("answer.delta", {"text": "Fo"}), ("answer", ANSWER))[1] == ({"content": "ur."}, None)


def test_an_answer_that_was_replaced_is_an_error() -> None:
    """What was sent cannot be taken back; nobody is left with half of another answer as if it were whole."""
    told = _deltas(
        ("answer.delta", {"text": "Five"}),
        ("answer.reset", {}),
        ("answer.delta", {"text": "Four."}),
        ("answer", ANSWER),
    )

    assert told[0] == ({"content": "Five"}, None)
    assert [error["code"] for error in told[1:]] == ["upstream_error"]


def test_a_replaced_answer_that_begins_the_same_goes_on() -> None:
    """What was sent is a part of it, so it is whole in the end."""
    assert _deltas(
        ("answer.delta", {"text": "Fo"}),
        ("answer.reset", {}),
        ("answer.delta", {"text": "Four."}),
        ("answer", ANSWER),
    ) == [({"content": "Fo"}, None), ({"content": "ur."}, None), ({}, "stop"), "[DONE]"]


def test_an_error_ends_the_stream() -> None:
    """In OpenAI's shape, and without the mark of a good end."""
    told = _written(("run.started", {}), ("error", {"status": 504, "error": "timeout", "detail": "Late."}))

    assert told[-1] == {
        "error": {"message": "Late.", "type": "server_error", "param": None, "code": "timeout"}
    }
