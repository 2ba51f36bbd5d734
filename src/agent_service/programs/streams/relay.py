"""A reply on its way from a model to those who watch the run, as it is written."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from dspy import lm15

from agent_service.core.observer import AnswerDelta
from agent_service.programs.streams.answer_predictor import answer_field_at_work
from agent_service.programs.streams.field_text import FieldText

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_service.core.run import Run

_NUMBERS = itertools.count(1)
"""Of replies, in the order in which they begin; only a run's own are ever compared."""


@runtime_checkable
class Streaming(Protocol):
    """A transport that can give a reply piece by piece."""

    async def complete(self, request: lm15.Request) -> lm15.Response:
        """The reply as a whole; see ``Transport``."""

    def stream(self, request: lm15.Request) -> AsyncIterator[lm15.StreamEvent]:
        """The reply as events; raises ``dspy.lm15`` errors."""


class Relay:
    """Gets one reply as a stream, tells the run of the answer in it, and returns it whole.

    Args:
        run: whose followers are told.
        field: the output field that is the answer.
        transport: how the model is reached.
    """

    def __init__(self, run: Run, field: str, transport: Streaming) -> None:
        self.has_begun = False
        self._has_received = False
        self._run = run
        self._field = field
        self._transport = transport

    def __repr__(self) -> str:
        return f"<Relay of {self._field}{', begun' if self.has_begun else ''}>"

    async def complete(self, request: lm15.Request) -> lm15.Response:
        """The same as ``Transport.complete``.

        A request that cannot be streamed, and one that a provider answers with no stream at all, is sent
        again to be answered whole; nothing is told of that reply.
        """
        try:
            return await self._stream(request)
        except (lm15.UnsupportedFeatureError, lm15.StreamAssemblyError):
            if self._has_received:
                raise
            return await self._transport.complete(request)

    async def _stream(self, request: lm15.Request) -> lm15.Response:
        number, text = next(_NUMBERS), FieldText(self._field)
        reply = lm15.AsyncResponseStream(self._transport.stream(request), request)
        async with reply:
            async for piece in reply:
                self._has_received = True
                self._tell(number, text.feed(piece))
            self._tell(number, text.end())
            return await reply.response()

    def _tell(self, number: int, text: str) -> None:
        if text:
            self.has_begun = True
            self._run.emit(AnswerDelta(self._run.request_id, number, text))


def relay_for(run: Run, transport: object) -> Relay | None:
    """The relay of the call that is about to be made.

    None when nobody watches, the reply is not the answer's, or the transport gives replies whole only.
    """
    field = answer_field_at_work()
    if field is None or not isinstance(transport, Streaming):
        return None
    return Relay(run, field, transport)
