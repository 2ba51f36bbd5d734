"""The embedded offline LM: rules instead of a model, no network, no key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dspy import lm15

from agent_service.programs.offline.rules import Prompt, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

OFFLINE_MODEL = "offline"
_CHARS_PER_TOKEN = 4
_WORD = re.compile(r"\s*\S+|\s+$")


class OfflineEngine:
    """Answers by rule, at once. Its token counts are estimates of four characters a token."""

    def complete(self, request: lm15.Request) -> lm15.Response:
        """Answer the prompt."""
        system = _text_of(request.system)
        messages = [(message.role, _text_of(message.parts)) for message in request.messages]
        text = reply(Prompt(system=system, messages=messages))
        asked_chars = len(system) + sum(len(content) for _, content in messages)
        return lm15.Response(
            id="offline",
            model=OFFLINE_MODEL,
            message=lm15.Message.assistant(text),
            finish_reason="stop",
            usage=lm15.Usage(
                input_tokens=asked_chars // _CHARS_PER_TOKEN, output_tokens=len(text) // _CHARS_PER_TOKEN
            ),
        )


class OfflineTransport:
    """The offline LM as one more way to reach a model."""

    def __init__(self) -> None:
        self._engine = OfflineEngine()

    async def complete(self, request: lm15.Request) -> lm15.Response:
        """Answer the prompt."""
        return self._engine.complete(request)

    async def stream(self, request: lm15.Request) -> AsyncIterator[lm15.StreamEvent]:
        """The same, word by word."""
        reply = self._engine.complete(request)
        yield lm15.StreamStartEvent(id=reply.id, model=reply.model)
        for word in _WORD.findall(reply.text):
            yield lm15.StreamDeltaEvent(delta=lm15.TextDelta(text=word))
        yield lm15.StreamEndEvent(finish_reason=reply.finish_reason, usage=reply.usage)

    async def aclose(self) -> None:
        """Nothing is open."""


def _text_of(content: str | Iterable[object] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(str(getattr(part, "text", "") or "") for part in content)
