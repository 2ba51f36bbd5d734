"""Replies in the wire format of OpenAI's chat completions (platform.openai.com/docs/api-reference/chat)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from agent_service.simulator.chat import ChatReply, ChatRequest

_CHARACTERS_PER_TOKEN = 4
_TOKEN = re.compile(rf".{{1,{_CHARACTERS_PER_TOKEN}}}", re.DOTALL)
_DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Completion:
    """A reply with its number and time, ready to be written."""

    request: ChatRequest
    reply: ChatReply
    n: int
    created_epoch_seconds: int

    @property
    def content_type(self) -> str:
        """The media type of ``body``."""
        return "text/event-stream" if self.request.stream else "application/json"

    def body(self) -> bytes:
        """The whole response, as one JSON object or as all events."""
        return b"".join(self.events()) if self.request.stream else orjson.dumps(self._whole())

    def events(self) -> list[bytes]:
        """The response as server-sent events, about one token each."""
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        if self.reply.tool_request is None:
            deltas += [{"content": token} for token in _TOKEN.findall(self.reply.text)]
        else:
            deltas.append({"tool_calls": [{"index": 0, **self._tool_call()}]})
        chunks = [self._chunk([_choice(delta=delta)]) for delta in deltas]
        chunks.append(self._chunk([_choice(delta={}, finish_reason=self._finish_reason())]))
        if self.request.include_usage:
            chunks.append(self._chunk([], usage=self._usage()))
        return [*(b"data: %s\n\n" % orjson.dumps(chunk) for chunk in chunks), _DONE]

    def _whole(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": self.reply.text, "refusal": None}
        if self.reply.tool_request is not None:
            message |= {"content": None, "tool_calls": [self._tool_call()]}
        choice = _choice(message=message, logprobs=None, finish_reason=self._finish_reason())
        return {**self._head("chat.completion"), "choices": [choice], "usage": self._usage()}

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {**self._head("chat.completion.chunk"), "choices": choices, **more}

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-sim-{self.n}",
            "object": kind,
            "created": self.created_epoch_seconds,
            "model": self.request.model,
        }

    def _finish_reason(self) -> str:
        return "stop" if self.reply.tool_request is None else "tool_calls"

    def _tool_call(self) -> dict[str, Any]:
        request = self.reply.tool_request
        name, arguments = (request.tool, request.arguments) if request else ("", {})
        function = {"name": name, "arguments": orjson.dumps(arguments).decode()}
        return {"id": f"call_sim_{self.n}", "type": "function", "function": function}

    def _usage(self) -> dict[str, int]:
        prompt = _tokens(sum(len(str(message.get("content"))) for message in self.request.messages))
        tool_call = str(self._tool_call()) if self.reply.tool_request else ""
        completion = _tokens(len(self.reply.text) + len(tool_call))
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }


def _choice(**parts: Any) -> dict[str, Any]:
    return {"index": 0, "finish_reason": None, **parts}


def _tokens(characters: int) -> int:
    return max(1, characters // _CHARACTERS_PER_TOKEN)
