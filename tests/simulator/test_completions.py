from __future__ import annotations

from typing import Any

import orjson

from agent_service.programs.offline.requests import ToolRequest
from agent_service.simulator.chat import ChatReply, ChatRequest
from agent_service.simulator.completions import Completion

MESSAGES = [{"role": "user", "content": "x" * 40}]
CALL = ChatReply("", ToolRequest("calculator", {"expression": "2+2"}))


def _completion(reply: ChatReply, *, stream: bool = False, include_usage: bool = False) -> Completion:
    request = ChatRequest("m", MESSAGES, stream=stream, include_usage=include_usage)
    return Completion(request, reply, 7, 1_700_000_000)


def _chunks(completion: Completion) -> list[dict[str, Any]]:
    *events, done = completion.events()
    assert done == b"data: [DONE]\n\n"
    return [orjson.loads(event.removeprefix(b"data: ")) for event in events]


def test_a_reply_is_one_object() -> None:
    """The whole response has the shape of OpenAI's, with about four characters to a token."""
    completion = _completion(ChatReply("hello world!"))
    assert completion.content_type == "application/json"
    assert orjson.loads(completion.body()) == {
        "id": "chatcmpl-sim-7",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hello world!", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13},
    }


def test_a_tool_call_has_no_text() -> None:
    """A tool call carries its arguments as JSON text and is finished by them."""
    choice = orjson.loads(_completion(CALL).body())["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    function = {"name": "calculator", "arguments": '{"expression":"2+2"}'}
    assert choice["message"]["tool_calls"] == [{"id": "call_sim_7", "type": "function", "function": function}]


def test_a_stream_adds_up_to_the_reply() -> None:
    """The deltas join to the text, the last one says why it ended, usage comes only when asked for."""
    completion = _completion(ChatReply("hello\nworld"), stream=True)
    chunks = _chunks(completion)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content", "") for delta in deltas) == "hello\nworld"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert all("usage" not in chunk for chunk in chunks)
    assert completion.content_type == "text/event-stream"
    assert completion.body() == b"".join(completion.events())


def test_usage_is_the_last_chunk_when_asked_for() -> None:
    """The chunk with the usage has no choices."""
    last = _chunks(_completion(ChatReply("hello"), stream=True, include_usage=True))[-1]
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 11


def test_a_tool_call_is_streamed_whole() -> None:
    """A streamed tool call comes in one delta with its index."""
    chunks = _chunks(_completion(CALL, stream=True))
    calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert [(call["index"], call["function"]["name"]) for call in calls] == [(0, "calculator")]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
