"""A stream of events as the chunks of a chat completion."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agent_service.api.openai.errors import CHANGED, stream_error
from agent_service.api.openai.steps import used
from agent_service.core.stream_events import ANSWER, ERROR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_service.core.stream_events import StreamEvent

_DONE = b"data: [DONE]\n\n"


class ChatChunks:
    """Writes one stream. Steps go out as ``reasoning_content``, an extension that many clients show.

    The last chunks have the program's version as ``system_fingerprint``, before which it is null.

    What a client was sent cannot be taken back: when the answer turns out to be another than what was sent
    of it, the stream ends with an error.

    Args:
        request_id: of the query.
        model: as the client named it.
        created: seconds of the epoch.
        with_usage: whether a last chunk tells the tokens.
    """

    def __init__(self, request_id: str, model: str, *, created: int, with_usage: bool) -> None:
        self._head: dict[str, object] = {
            "id": f"chatcmpl-{request_id}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
            "system_fingerprint": None,
        }
        self._with_usage = with_usage
        self._sent = ""
        self._is_reset = False

    def __repr__(self) -> str:
        return f"<ChatChunks {len(self._sent)} characters sent>"

    def write(self, events: Sequence[StreamEvent]) -> bytes:
        """``events`` as they are sent; nothing for those that the protocol has no place for."""
        return b"".join(map(self._written, events))

    def _written(self, event: StreamEvent) -> bytes:
        data = json.loads(event.data)
        if event.kind == "run.started":
            return self._delta({"role": "assistant", "content": ""})
        if event.kind == "tool.started":
            return self._delta({"reasoning_content": f"{used(data['tool'], data['arguments'])}\n"})
        if event.kind == "answer.delta":
            return b"" if self._is_reset else self._text(data["text"])
        if event.kind == "answer.reset":
            self._is_reset = True
        if event.kind == ANSWER:
            return self._end(data)
        return _error(data) if event.kind == ERROR else b""

    def _text(self, text: str) -> bytes:
        self._sent += text
        return self._delta({"content": text}) if text else b""

    def _end(self, answer: dict[str, Any]) -> bytes:
        if not answer["answer"].startswith(self._sent):
            return _error(CHANGED)
        self._head["system_fingerprint"] = answer.get("program_version")
        rest = self._text(answer["answer"][len(self._sent) :])
        end = self._chunk([{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}])
        usage = usage_of(answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"])
        return rest + end + (self._chunk([], usage=usage) if self._with_usage else b"") + _DONE

    def _delta(self, delta: dict[str, str]) -> bytes:
        return self._chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}])

    def _chunk(self, choices: list[dict[str, Any]], **more: object) -> bytes:
        return _line({**self._head, "choices": choices, **more})


def _error(problem: dict[str, Any]) -> bytes:
    return _line({"error": stream_error(problem)})


def _line(document: dict[str, Any]) -> bytes:
    """One event without a name."""
    return f"data: {json.dumps(document, separators=(',', ':'))}\n\n".encode()


def usage_of(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Tokens in the names of chat completions."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
