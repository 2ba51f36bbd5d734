"""A stream of events as the events of a response."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agent_service.api.openai.errors import CHANGED, stream_error
from agent_service.api.openai.responses.document import message_item, reasoning_item, text_part, usage_of
from agent_service.api.openai.steps import used
from agent_service.core.stream_events import ANSWER, ERROR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_service.api.openai.responses.document import Outline
    from agent_service.core.stream_events import StreamEvent


class ResponseEvents:
    """Writes one stream: each tool step as a reasoning item, then the answer as a message.

    What a client was sent cannot be taken back: when the answer turns out to be another than what was sent
    of it, the stream ends with an error.

    Args:
        outline: what is known of the response.
    """

    def __init__(self, outline: Outline) -> None:
        self._outline = outline
        self._sequence_number = -1
        self._output: list[dict[str, Any]] = []
        self._sent = ""
        self._has_message = False
        self._is_reset = False

    def __repr__(self) -> str:
        return f"<ResponseEvents {self._sequence_number + 1} sent>"

    def write(self, events: Sequence[StreamEvent]) -> bytes:
        """``events`` as they are sent; nothing for those that the protocol has no place for."""
        return b"".join(part for event in events for part in self._written(event))

    def _written(self, event: StreamEvent) -> list[bytes]:
        data = json.loads(event.data)
        if event.kind == "run.started":
            response = self._outline.document("in_progress", [])
            return [self._event(f"response.{kind}", response=response) for kind in ("created", "in_progress")]
        if event.kind == "tool.started" and not self._has_message:
            return self._step(used(data["tool"], data["arguments"]))
        if event.kind == "answer.delta":
            return [] if self._is_reset else self._text(data["text"])
        if event.kind == "answer.reset":
            self._is_reset = True
        if event.kind == ANSWER:
            return self._end(data)
        return self._fail(data) if event.kind == ERROR else []

    def _step(self, text: str) -> list[bytes]:
        place = {"output_index": len(self._output)}
        identity = self._outline.identity.step(len(self._output))
        part = {**place, "item_id": identity, "summary_index": 0}
        item = reasoning_item(identity, text)
        self._output.append(item)
        summary = {"type": "summary_text", "text": text}
        kind = "response.reasoning_summary"
        return [
            self._event("response.output_item.added", **place, item=reasoning_item(identity, None)),
            self._event(f"{kind}_part.added", **part, part={**summary, "text": ""}),
            self._event(f"{kind}_text.delta", **part, delta=text),
            self._event(f"{kind}_text.done", **part, text=text),
            self._event(f"{kind}_part.done", **part, part=summary),
            self._event("response.output_item.done", **place, item=item),
        ]

    def _text(self, text: str) -> list[bytes]:
        self._sent += text
        begun = [] if self._has_message else self._begin_message()
        return [*begun, self._event("response.output_text.delta", **self._part, delta=text, logprobs=[])]

    def _begin_message(self) -> list[bytes]:
        self._has_message = True
        item = message_item(self._outline.identity.message, "", status="in_progress")
        return [
            self._event("response.output_item.added", output_index=len(self._output), item=item),
            self._event("response.content_part.added", **self._part, part=text_part("")),
        ]

    def _end(self, answer: dict[str, Any]) -> list[bytes]:
        text: str = answer["answer"]
        if not text.startswith(self._sent):
            return self._fail(CHANGED)
        rest = self._text(text[len(self._sent) :]) if text != self._sent or not text else []
        item = message_item(self._outline.identity.message, text)
        done = [
            self._event("response.output_text.done", **self._part, text=text, logprobs=[]),
            self._event("response.content_part.done", **self._part, part=text_part(text)),
            self._event("response.output_item.done", output_index=len(self._output), item=item),
        ]
        usage = usage_of(answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"])
        output = [*self._output, item]
        response = self._outline.document("completed", output, usage=usage, is_kept=answer["stored"])
        return [*rest, *done, self._event("response.completed", response=response)]

    def _fail(self, problem: dict[str, Any]) -> list[bytes]:
        """The end in both forms that clients look for: the event of its own, and the response that failed."""
        error = stream_error(problem)
        failure = {"code": error["code"], "message": error["message"]}
        failed = self._outline.document("failed", self._output, error=failure)
        return [
            self._event("error", **failure, param=None, error=error),
            self._event("response.failed", response=failed),
        ]

    @property
    def _part(self) -> dict[str, Any]:
        message = self._outline.identity.message
        return {"output_index": len(self._output), "item_id": message, "content_index": 0}

    def _event(self, kind: str, **data: object) -> bytes:
        self._sequence_number += 1
        document = {"type": kind, "sequence_number": self._sequence_number, **data}
        return f"event: {kind}\ndata: {json.dumps(document, separators=(',', ':'))}\n\n".encode()
