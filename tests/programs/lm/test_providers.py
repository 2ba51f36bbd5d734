"""How a model string is reached: by DSPy's native client over real sockets, else by LiteLLM."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from dspy import lm15
from dspy._vendor.lm15.access import AccessPolicy
from dspy.clients.engines.litellm_engine import AsyncLiteLLMEngine

from agent_service.core.clock import Deadline
from agent_service.core.run import Run
from agent_service.programs.base import LMOptions
from agent_service.programs.lm.providers import NativeTransport, reach
from agent_service.programs.streams.relay import Relay, Streaming
from agent_service.testing import FakeClock, RecordingObserver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

COMPLETION = {
    "id": "c1",
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "four"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}


class Provider:
    """An OpenAI-compatible server that keeps what it was sent."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.connections: list[asyncio.Task[Any]] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and hang up."""
        task = asyncio.current_task()
        assert task is not None
        self.connections.append(task)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        body = json.loads(await reader.readexactly(int(lines["content-length"])))
        self.asked.append((head.split(" ")[1], lines.get("authorization", ""), body))
        content = json.dumps(COMPLETION).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n%s" % (len(content), content)
        )
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    """A provider on a free port."""
    there = Provider()
    server = await asyncio.start_server(there.answer, "127.0.0.1", 0)
    there.url = "http://{}:{}/v1".format(*server.sockets[0].getsockname())
    async with server:
        yield there
        await asyncio.wait_for(asyncio.gather(*there.connections), 5)


async def call(lm: dspy.LM, **environ: str) -> str:
    """One attempt by the way that ``reach`` found."""
    transport = reach(lm, LMOptions(), environ).make_transport()
    request = lm15.Request(model=lm.model, messages=(lm15.Message.user("2+2"),))
    try:
        return (await transport.complete(request)).text or ""
    finally:
        await transport.aclose()


async def test_the_native_client_is_used_with_address_and_key() -> None:
    """Model, address and key of the LM go out as the provider expects them."""
    async with provider() as there:
        lm = dspy.LM("openai/some-model", api_base=there.url, api_key="sk-1", temperature=0.5)
        assert await call(lm) == "four"
    ((path, authorization, body),) = there.asked
    assert path == "/v1/chat/completions"
    assert authorization == "bearer sk-1"
    assert body["model"] == "some-model"


async def test_a_provider_is_asked_to_stream_and_may_answer_whole() -> None:
    """Usage is asked for too. A server that knows no streams answers as ever: the reply comes, untold."""
    async with provider() as there:
        lm = dspy.LM("openai/some-model", api_base=there.url, api_key="sk-1")
        transport = reach(lm, LMOptions(), {}).make_transport()
        request = lm15.Request(model=lm.model, messages=(lm15.Message.user("2+2"),))
        clock, observer = FakeClock(), RecordingObserver()
        run = Run(request_id="r", deadline=Deadline.after(clock, 9), clock=clock, observer=observer)
        assert isinstance(transport, Streaming)
        assert (await Relay(run, "answer", transport).complete(request)).text == "four"
        await transport.aclose()
    asked = [(body.get("stream"), body.get("stream_options")) for _, _, body in there.asked]
    assert asked == [(True, {"include_usage": True}), (None, None)]
    assert observer.events == []


@pytest.mark.parametrize("name", ["OPENAI_API_BASE", "OPENAI_BASE_URL"])
async def test_an_address_in_the_environment_stays_with_the_native_client(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DSPy would move to LiteLLM, at several times the cost; the address is honoured all the same."""
    async with provider() as there:
        monkeypatch.setenv(name, there.url)
        lm = dspy.LM("openai/some-model", api_key="sk-1")
        assert isinstance(reach(lm, LMOptions(), {name: there.url}).make_transport(), NativeTransport)
        assert await call(lm, **{name: there.url}) == "four"


async def test_an_address_of_the_lm_s_own_goes_before_the_environment_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A key that is meant for one host is not sent to another."""
    async with provider() as there:
        monkeypatch.setenv("OPENAI_API_BASE", "http://127.0.0.1:9/v1")
        lm = dspy.LM("openai/some-model", api_base=there.url, api_key="sk-1")
        assert await call(lm, OPENAI_API_BASE="http://127.0.0.1:9/v1") == "four"


async def test_a_declared_provider_is_reached_where_it_was_declared() -> None:
    """``lm15.register_provider`` is DSPy's way to name a self-hosted service."""
    async with provider() as there:
        access = AccessPolicy(provider="corp", env_keys=("CORP_KEY",), base_url=there.url)
        lm15.register_provider(
            lm15.ProviderDefinition.chat(access, compat=lm15.OpenAIChatCompat()), replace=True
        )
        try:
            assert await call(dspy.LM("corp/some-model", api_key="sk-2")) == "four"
        finally:
            lm15.unregister_provider("corp")
    assert there.asked[0][1] == "bearer sk-2"


@pytest.mark.parametrize(
    "lm",
    [
        {"model": "together_ai/some-model"},
        {"model": "openai/gpt-4o-mini", "extra_headers": {"X-Tenant": "a"}},
        {"model": "openai/gpt-4o-mini", "engine": "litellm"},
    ],
)
def test_litellm_carries_what_nothing_else_can_and_is_not_imported_before(lm: dict[str, Any]) -> None:
    """Importing it costs seconds and memory; a service that does not need it does not pay."""
    imported = "litellm" in sys.modules
    assert isinstance(reach(dspy.LM(**lm), LMOptions(), {}).make_transport(), AsyncLiteLLMEngine)
    assert ("litellm" in sys.modules) == imported


def test_text_completion_models_are_refused() -> None:
    """No client of DSPy's takes a typed request for them: better no start than no answer."""
    with pytest.raises(lm15.UnsupportedFeatureError, match="text"):
        reach(dspy.LM("openai/davinci", model_type="text"), LMOptions(), {})


async def test_the_lm_s_own_timeout_is_kept() -> None:
    """An author who allows the provider less time than we do is obeyed."""
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        gone.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = "http://{}:{}/v1".format(*server.sockets[0].getsockname())
    async with server:
        with pytest.raises(lm15.TransportError):
            await asyncio.wait_for(call(dspy.LM("openai/m", api_base=url, api_key="k", timeout=0.05)), 5)
        await asyncio.wait_for(gone.wait(), 5)


def test_the_way_to_a_model_does_not_show_its_key() -> None:
    """Reprs end up in logs."""
    assert "sk-1" not in repr(reach(dspy.LM("openai/gpt-4o", api_key="sk-1"), LMOptions(), {}))
