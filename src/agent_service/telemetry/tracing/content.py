"""What was said, as the GenAI conventions write it: JSON, here with secrets masked. Only when asked for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agent_service.core.secrets import redacted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from agent_service.telemetry.tracing.genai import Attributes


def of_request(request: Any) -> Attributes:
    """The instructions and messages of an lm15 request."""
    messages = [{"role": one.role, "parts": _parts(one.parts)} for one in request.messages]
    attributes: Attributes = {"gen_ai.input.messages": _json(messages)}
    if request.system:
        attributes["gen_ai.system_instructions"] = _json(_parts(request.system))
    return attributes


def of_response(response: Any) -> Attributes:
    """The message of an lm15 response."""
    message = response.message
    told = {
        "role": message.role,
        "parts": _parts(message.parts),
        "finish_reason": str(response.finish_reason),
    }
    return {"gen_ai.output.messages": _json([told])}


def of_tool(arguments: Mapping[str, Any]) -> Attributes:
    """What a tool is called with."""
    return {"gen_ai.tool.call.arguments": _json(dict(arguments))}


def _parts(content: str | Iterable[Any]) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "content": content}]
    return [_part(part) for part in content]


def _part(part: Any) -> dict[str, Any]:
    """Pictures, sound and the like are named and left out."""
    match part.type:
        case "text" | "refusal":
            return {"type": "text", "content": part.text}
        case "thinking":
            return {"type": "reasoning", "content": part.text}
        case "tool_call":
            return {"type": "tool_call", "id": part.id, "name": part.name, "arguments": part.input}
        case "tool_result":
            return {"type": "tool_call_response", "id": part.id, "response": _parts(part.content)}
        case other:
            return {"type": str(other)}


def _json(value: object) -> str:
    return json.dumps(redacted(value), default=lambda strange: f"<{type(strange).__name__}>")
