"""How what was said is written down, for operators who ask for it."""

from __future__ import annotations

import json
from typing import Any

from dspy import lm15

from agent_service.telemetry.tracing import content


def _loaded(value: Any) -> Any:
    return json.loads(value)


def test_instructions_messages_and_tool_calls_have_the_form_of_the_conventions() -> None:
    """Each message by its role in parts; the system's apart."""
    call = lm15.ToolCallPart(id="c1", name="add", input={"a": 1, "api_key": "sk-secret99"})
    request = lm15.Request(
        model="m",
        system="Be short.",
        messages=(
            lm15.Message.user("What is it?"),
            lm15.Message(role="assistant", parts=(lm15.ThinkingPart(text="hm"), call)),
        ),
    )
    told = content.of_request(request)
    assert _loaded(told["gen_ai.system_instructions"]) == [{"type": "text", "content": "Be short."}]
    assert _loaded(told["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "What is it?"}]},
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "hm"},
                {"type": "tool_call", "id": "c1", "name": "add", "arguments": {"a": 1, "api_key": "***"}},
            ],
        },
    ]
    alone = content.of_request(lm15.Request(model="m", messages=(lm15.Message.user("Hi"),)))
    assert set(alone) == {"gen_ai.input.messages"}


def test_an_answer_is_one_message_with_its_end() -> None:
    """The reason of its end stands with it; keys are masked here too."""
    message = lm15.Message.assistant("Use sk-1234567890 please")
    response = lm15.Response(
        id="r", model="m", message=message, finish_reason="stop", usage=lm15.Usage(output_tokens=1)
    )
    assert _loaded(content.of_response(response)["gen_ai.output.messages"]) == [
        {
            "role": "assistant",
            "parts": [{"type": "text", "content": "Use *** please"}],
            "finish_reason": "stop",
        }
    ]


def test_results_of_tools_are_shown_and_pictures_only_named() -> None:
    """What is not text would be large, and nobody could read it."""
    picture = lm15.ImagePart(media_type="image/png", data="AAAA")
    result = lm15.ToolResultPart(id="c1", content=(lm15.TextPart(text="4"),))
    messages = (
        lm15.Message(role="user", parts=(picture,)),
        lm15.Message(role="tool", parts=(result,)),
    )
    told = content.of_request(lm15.Request(model="m", messages=messages))
    parts = [message["parts"] for message in _loaded(told["gen_ai.input.messages"])]
    assert parts == [
        [{"type": "image"}],
        [{"type": "tool_call_response", "id": "c1", "response": [{"type": "text", "content": "4"}]}],
    ]


def test_values_that_json_cannot_hold_are_named_by_their_class() -> None:
    """Their repr is their author's code and may tell anything."""
    told = content.of_tool({"when": object(), "what": "x"})
    assert _loaded(told["gen_ai.tool.call.arguments"]) == {"when": "<object>", "what": "x"}
