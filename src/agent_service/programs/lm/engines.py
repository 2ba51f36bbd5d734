"""The LM seam as DSPy sees it: an engine pair (``dspy.clients.engines.base``) for any thread and loop."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dspy import lm15

from agent_service.programs.lm.lean_chat import whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence

    import dspy
    from typing_extensions import Self

    from agent_service.programs.lm.chain import ModelChain
    from agent_service.programs.lm.lean_chat import PlainReply
    from agent_service.programs.lm.seam import Transport
    from agent_service.programs.threads import LoopBridge


class AsyncSeamEngine:
    """The async engine for whatever loop a program uses: connections live on the service's."""

    def __init__(self, chain: ModelChain, *, bridge: LoopBridge) -> None:
        self._chain = chain
        self._bridge = bridge

    async def complete(self, request: lm15.Request) -> lm15.Response:
        """One logical call; see ``ModelChain.complete``."""
        return whole(await self.begin(request))

    def begin(self, request: lm15.Request) -> Coroutine[None, None, lm15.Response | PlainReply]:
        """The same for those who await it at once and read both kinds of reply."""
        call = self._chain.complete(request)
        return call if self._bridge.on_service_loop() else self._bridge.wait_from_another_loop(call)

    async def stream(self, request: lm15.Request) -> AsyncIterator[lm15.StreamEvent]:
        """The same in events, all at the end, for programs that use DSPy's ``streamify`` themselves."""
        for event in lm15.response_to_events(await self.complete(request)):
            yield event

    async def aclose(self) -> None:
        """Nothing: the service owns the seam."""

    def __deepcopy__(self, memo: object) -> Self:
        return self


class SyncSeamEngine:
    """The seam as DSPy's sync engine: threads wait for the loop, so that a stop reaches their calls too.

    Code that calls its LM synchronously on the service's loop blocks that loop; the call then goes by a
    loop of its own, or it would wait for itself.
    """

    def __init__(
        self, chain: ModelChain, *, bridge: LoopBridge, sideline: Sideline, described_by: dspy.LM
    ) -> None:
        self.chain = chain
        self.supports_function_calling = False
        self.supports_reasoning = False
        self.supports_response_schema = False
        self.supported_params: frozenset[str] = frozenset()
        self.described_by = described_by
        self._bridge = bridge
        self._sideline = sideline

    def look_up_capabilities(self) -> None:
        """Say what DSPy's catalogue says of the model. Reads files, and may import LiteLLM."""
        stock = self.described_by
        self.supports_function_calling = bool(stock.supports_function_calling)
        self.supports_reasoning = bool(stock.supports_reasoning)
        self.supports_response_schema = bool(stock.supports_response_schema)
        self.supported_params = frozenset(stock.supported_params)

    def complete(self, request: lm15.Request) -> lm15.Response:
        """One logical call; see ``ModelChain.complete``."""
        if self._bridge.on_service_loop():
            return whole(self._sideline.complete(self.chain, request))
        return whole(self._bridge.wait(self.chain.complete(request)))

    def stream(self, request: lm15.Request) -> Iterator[lm15.StreamEvent]:
        """The same in events; see ``AsyncSeamEngine.stream``."""
        yield from lm15.response_to_events(self.complete(request))

    def close(self) -> None:
        """End the loop of its own, if there was need of one; the service owns the seam."""
        self._sideline.close()

    def __deepcopy__(self, memo: object) -> Self:
        return self


class Sideline:
    """An event loop in a thread of its own, started when it is first needed."""

    def __init__(self, make_transports: Sequence[Callable[[], Transport]]) -> None:
        self._make_transports = make_transports
        self._open: _OpenSideline | None = None

    def __repr__(self) -> str:
        return f"<Sideline {'open' if self._open else 'not in use'}>"

    def complete(self, chain: ModelChain, request: lm15.Request) -> lm15.Response:
        """Call ``chain`` over there, with connections of this loop; the calling thread blocks."""
        if self._open is None:
            self._open = _OpenSideline.start([make() for make in self._make_transports])
        call = chain.complete(request, self._open.transports)
        return asyncio.run_coroutine_threadsafe(call, self._open.loop).result()

    def close(self) -> None:
        """Close its connections and end its thread."""
        if self._open is not None:
            self._open.end()
            self._open = None


@dataclass(frozen=True)
class _OpenSideline:
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    transports: Sequence[Transport]

    @classmethod
    def start(cls, transports: Sequence[Transport]) -> _OpenSideline:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_turn, args=(loop,), name="lm-sideline", daemon=True)
        thread.start()
        return cls(loop, thread, transports)

    def end(self) -> None:
        for transport in self.transports:
            asyncio.run_coroutine_threadsafe(transport.aclose(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()
