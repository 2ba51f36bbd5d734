"""How a DSPy model string is reached: DSPy's native client where it has one, else LiteLLM through DSPy.

``dspy.LM`` gives its native client 100 connections and no total time limit, and an address in the environment
silently moves it to LiteLLM; here the same client is built with room for the whole pool.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Hashable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dspy
from dspy import lm15
from dspy.clients.backend_selection import CLIENT_KEYS, BackendSelection, select_backend
from dspy.clients.engines.litellm_engine import AsyncLiteLLMEngine
from dspy.clients.engines.lm15_engine import timeouts_for

from agent_service.programs.lm.http.transport import HttpTransport
from agent_service.programs.lm.lean_chat import LeanChat, PlainReply, renamed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

    from agent_service.programs.base import LMOptions
    from agent_service.programs.lm.seam import Transport


@dataclass(frozen=True)
class Reach:
    """One way to a model: its identity as an upstream, and how to make a transport for the running loop."""

    key: tuple[str, ...]
    make_transport: Callable[[], Transport]


def reach(lm: dspy.LM, options: LMOptions, environ: Mapping[str, str] = os.environ) -> Reach:
    """How ``lm`` is reached.

    Raises:
        dspy.lm15.LM15Error: when DSPy knows no way to it.
        TypeError, ValueError: when one of its settings makes no sense.
    """
    if not isinstance(lm.engine, str):
        return Reach((str(id(lm.engine)), lm.model), lambda: EngineTransport(lm))
    if lm.model_type == "text":
        raise lm15.UnsupportedFeatureError("models of the type 'text' take no chat; use model_type='chat'")
    selection = _select(lm, environ)
    clients = selection.clients
    address = _address(clients)
    if address and not str(address).startswith(("http://", "https://")):
        raise ValueError(f"its address {address!r} is no http:// or https:// URL")
    settings = (f"{name} {_fingerprint(value)}" for name, value in sorted(clients.items()))
    key = (lm.model, lm.model_type, str(selection.native), *settings)
    if selection.native:
        timeouts = timeouts_for(clients.get("timeout"))
        declared = tuple(provider.definition for provider in lm._providers)  # noqa: SLF001 - pinned; DSPy's own engines read it
        return Reach(key, lambda: NativeTransport(selection, options, timeouts, declared))
    return Reach(key, lambda: _litellm(lm, clients, options))


def _address(clients: Mapping[str, Any]) -> Any:
    return clients.get("api_base") or clients.get("base_url")


def without_client_settings(lm: dspy.LM) -> dict[str, None]:
    """The arguments of ``lm.copy`` that take its connection settings away."""
    return dict.fromkeys(CLIENT_KEYS & set(lm.kwargs))


class NativeTransport:
    """DSPy's own client (lm15), one provider, one model. Belongs to the loop that first uses it."""

    def __init__(
        self,
        selection: BackendSelection,
        options: LMOptions,
        timeouts: lm15.Timeouts | None,
        declared: tuple[lm15.ProviderDefinition, ...],
    ) -> None:
        route, clients = selection.resolution, selection.clients
        url, key = _address(clients), clients.get("api_key")
        self._transport = HttpTransport(timeouts=timeouts, max_connections=options.max_connections)
        self._router = lm15.AsyncLMRouter(
            lm15.RouterConfig(
                api_keys={route.provider: key} if key else None,
                base_urls={route.provider: url} if url else None,
                transport=self._transport,
                providers=declared,
            )
        )
        self._route = route
        self._client: Any = None
        self._lean: LeanChat | None = None

    def complete(self, request: lm15.Request) -> Coroutine[None, None, lm15.Response | PlainReply]:
        """One HTTP call."""
        if self._client is None:
            self._client = self._provider()
            if LeanChat.suits(self._client):
                self._lean = LeanChat(self._client, self._transport)
        if self._lean is not None:
            return self._lean.complete(request, self._route.model)
        answer: Coroutine[None, None, lm15.Response | PlainReply]
        answer = self._client.complete(renamed(request, self._route.model))
        return answer

    def stream(self, request: lm15.Request) -> AsyncIterator[lm15.StreamEvent]:
        """The same, with the reply as it is written."""
        events: AsyncIterator[lm15.StreamEvent] = self._provider().stream(renamed(request, self._route.model))
        return events

    def _provider(self) -> Any:
        return self._router.lm(f"{self._route.provider}:{self._route.model}")

    async def aclose(self) -> None:
        """Close the connections, those in use too."""
        await self._transport.aclose()


class EngineTransport:
    """An engine that an LM brought along."""

    def __init__(self, lm: dspy.LM) -> None:
        self._sync_engine, self._async_engine = lm.engine, getattr(lm, "_async_engine_spec", None)

    async def complete(self, request: lm15.Request) -> lm15.Response:
        """One call of the engine; one that has no async side is called in a thread."""
        if self._async_engine is not None:
            return await self._async_engine.complete(request)
        return await asyncio.to_thread(self._sync_engine.complete, request)

    async def stream(self, request: lm15.Request) -> AsyncIterator[lm15.StreamEvent]:
        """The same in events, which come at the end from an engine that does not stream asynchronously."""
        events = getattr(self._async_engine, "stream", None)
        if events is None:
            for event in lm15.response_to_events(await self.complete(request)):
                yield event
            return
        async with aclosing(events(request)) as stream:
            async for event in stream:
                yield event

    async def aclose(self) -> None:
        """Nothing: whoever made the engine owns it."""


def _fingerprint(value: Any) -> int:
    """Tells two settings apart without showing them."""
    return hash(value if isinstance(value, Hashable) else repr(value))


def _litellm(lm: dspy.LM, clients: dict[str, Any], options: LMOptions) -> Transport:
    settings = {"timeout": options.call_timeout_seconds, **clients}
    engine: Transport = AsyncLiteLLMEngine(model_type=lm.model_type, **settings)
    return engine


def _select(lm: dspy.LM, environ: Mapping[str, str]) -> BackendSelection:
    """DSPy's choice, except that an address in the environment stays with the native client."""
    prefix = lm.model.partition("/")[0].upper()
    base = next((environ[n] for n in (f"{prefix}_API_BASE", f"{prefix}_BASE_URL") if environ.get(n)), None)
    named = lm.kwargs.get("api_base") or lm.kwargs.get("base_url")
    if lm.engine == "auto" and (base or named):
        try:
            return select_backend(lm.copy(engine="lm15", api_base=named or base))
        except lm15.LM15Error:
            pass  # no native client for it: DSPy's own choice stands
    return select_backend(lm)
