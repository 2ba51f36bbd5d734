"""A language model that writes its replies piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dspy import lm15

from tests.programs.conftest import MODEL, response

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class StreamingTransport:
    """Writes its replies in pieces of four characters; an exception among them breaks a reply off."""

    def __init__(self, *replies: str | tuple[str, BaseException] | BaseException) -> None:
        self.streamed = 0
        self._replies = list(replies)

    async def complete(self, request: lm15.Request) -> lm15.Response:
        text = self._next()
        assert isinstance(text, str)
        return response(text)

    async def stream(self, request: lm15.Request) -> AsyncIterator[lm15.StreamEvent]:
        self.streamed += 1
        reply = self._next()
        if isinstance(reply, BaseException):
            raise reply
        text, error = (reply, None) if isinstance(reply, str) else reply
        yield lm15.StreamStartEvent(id="r", model=MODEL)
        for at in range(0, len(text), 4):
            yield lm15.StreamDeltaEvent(delta=lm15.TextDelta(text=text[at : at + 4]))
        if error is not None:
            raise error
        usage = lm15.Usage(input_tokens=10, output_tokens=5)
        yield lm15.StreamEndEvent(finish_reason="stop", usage=usage)

    async def aclose(self) -> None: ...

    def _next(self) -> str | tuple[str, BaseException] | BaseException:
        return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]
