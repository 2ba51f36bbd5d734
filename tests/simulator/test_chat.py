from __future__ import annotations

from typing import Any

import orjson
import pytest

from agent_service.programs.offline.rules import INTRODUCTION, inquiry_of
from agent_service.simulator.chat import ChatReply, ChatRequest, reply_to

CALCULATOR = {"type": "function", "function": {"name": "calculator"}}
SUBMIT = {
    "type": "function",
    "function": {
        "name": "submit",
        "parameters": {
            "type": "object",
            "properties": {"answer": {"type": "string"}},
            "required": ["answer"],
        },
    },
}
ASKED = {"role": "user", "content": "What is 2+2?"}
CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "calculator"}}],
}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "4"}


def _reply(*messages: dict[str, Any], **more: Any) -> ChatReply:
    body = orjson.dumps({"model": "m", "messages": messages, **more})
    request = ChatRequest.from_body(body)
    prompt = request.prompt
    return reply_to(request, prompt, inquiry_of(prompt))


def _called(reply: ChatReply) -> tuple[str, dict[str, Any]]:
    assert reply.tool_request is not None
    return reply.tool_request.tool, dict(reply.tool_request.arguments)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"model": "m"}', b'{"messages": []}', b'{"model": "m", "messages": [1]}']
)
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    """What is no JSON object with a model and messages is a value error."""
    with pytest.raises(ValueError, match=r"."):
        ChatRequest.from_body(body)


def test_a_plain_question_is_answered_in_plain_text() -> None:
    """Without tools and without DSPy's format, the reply is a sentence."""
    assert _reply({"role": "user", "content": "Hello"}) == ChatReply(INTRODUCTION)


def test_content_in_parts_is_read() -> None:
    """Text parts are joined, system and developer messages are not taken for questions."""
    parts = [{"type": "text", "text": "What did "}, {"type": "text", "text": "I ask?"}]
    reply = _reply(
        {"role": "developer", "content": "2+2"},
        {"role": "user", "content": "Hi"},
        {"role": "user", "content": parts},
    )
    assert reply.text == 'You asked: "Hi"'


def test_a_native_tool_is_called_then_its_result_is_told() -> None:
    """With native tools the fitting one is called once; with its result at hand the answer is text."""
    assert _called(_reply(ASKED, tools=[CALCULATOR])) == ("calculator", {"expression": "2+2"})
    assert _reply(ASKED, CALLED, RESULT, tools=[CALCULATOR]).text == "4"


def test_results_of_an_earlier_question_do_not_count() -> None:
    """A tool result belongs to the question before it, not to the next one."""
    reply = _reply(ASKED, CALLED, RESULT, {"role": "user", "content": "3+3"}, tools=[CALCULATOR])
    assert _called(reply) == ("calculator", {"expression": "3+3"})


def test_tool_choice_is_obeyed() -> None:
    """``none`` forbids tools; a named tool is called whatever is asked, with arguments of its schema."""
    assert _reply(ASKED, tools=[CALCULATOR], tool_choice="none").tool_request is None
    choice = {"type": "function", "function": {"name": "submit"}}
    messages = ({"role": "user", "content": "Hello"},)
    reply = _reply(*messages, tools=[CALCULATOR, SUBMIT], tool_choice=choice)
    assert _called(reply) == ("submit", {"answer": INTRODUCTION})


def test_the_answer_is_submitted_where_that_is_offered() -> None:
    """A tool named submit gets the answer once the other tools are done."""
    assert _called(_reply(ASKED, tools=[CALCULATOR, SUBMIT]))[0] == "calculator"
    reply = _reply(ASKED, CALLED, RESULT, tools=[CALCULATOR, SUBMIT])
    assert _called(reply) == ("submit", {"answer": "4"})
