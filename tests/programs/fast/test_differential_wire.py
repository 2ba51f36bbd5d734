"""The bytes that reach a provider: those of DSPy's own modules with DSPy's own client, nothing else."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dspy
import pytest

from agent_service.core.clock import Deadline, SystemClock
from agent_service.core.run import Run
from agent_service.programs.base import LMOptions
from agent_service.programs.context import running
from agent_service.programs.fast import accelerate
from agent_service.programs.lm.upstreams import Upstreams
from agent_service.programs.seams import SeamTaker
from agent_service.programs.threads import LoopBridge, WorkThreads
from agent_service.programs.tools import ToolSeam
from agent_service.testing import RecordingObserver
from tests.programs.conftest import make_seam, said
from tests.programs.fast.corpus_state import double
from tests.programs.fast.corpus_types import Chat, Everything
from tests.programs.fast.differential_case import as_json, step
from tests.programs.fast.differential_describe import described

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

QA = "question -> answer"
FOUR = said(reasoning="r", answer="4")
HISTORY = dspy.History(messages=[{"question": "1?", "answer": "one"}])
AGENT = [step("double", number=2), step("finish"), FOUR]
UNICODE = '\u05e9\u05dc\u05d5\u05dd \U0001f469\u200d\U0001f680 \u2028 \x00 \r\n " \\ </x>'
ERROR = {"error": {"message": "This model's maximum context length is 10", "code": "context_length_exceeded"}}
PROGRAMS: dict[str, tuple[Callable[[], Any], dict[str, Any], Sequence[Any]]] = {
    "plain": (lambda: dspy.Predict(QA), {"question": "q"}, [FOUR]),
    "unicode": (lambda: dspy.Predict(QA), {"question": UNICODE}, [said(answer=UNICODE)]),
    "thought over": (lambda: dspy.ChainOfThought(QA), {"question": ["a", "b\nc"]}, [FOUR]),
    "read again": (lambda: dspy.Predict(QA), {"question": "q"}, ["bad", as_json(answer="4")]),
    "read again, by schema": (lambda: dspy.Predict(Everything), {"text": "t"}, ["bad", "{}"]),
    "history": (lambda: dspy.Predict(Chat), {"question": "q", "history": HISTORY}, [FOUR]),
    "config": (
        lambda: dspy.Predict(QA, temperature=0.5, max_tokens=7, stop=["x"], seed=1),
        {"question": "q"},
        [FOUR],
    ),
    "several": (lambda: dspy.Predict(QA, n=2), {"question": "q"}, [FOUR]),
    "agent": (lambda: dspy.ReAct(QA, tools=[double]), {"question": "q"}, AGENT),
    "agent cut": (
        lambda: dspy.ReAct(QA, tools=[double]),
        {"question": "q"},
        [AGENT[0], AGENT[0], (400, ERROR), *AGENT[1:]],
    ),
    "refused": (
        lambda: dspy.Predict(QA),
        {"question": "q"},
        [(401, {"error": {"message": "Incorrect API key"}})],
    ),
    "image": (
        lambda: dspy.Predict("image: dspy.Image, question -> answer"),
        {"image": dspy.Image(url="https://example.org/a.png"), "question": "q"},
        [FOUR],
    ),
}


@dataclass
class Provider:
    """An HTTP server that answers as OpenAI does and keeps what it was sent."""

    replies: Sequence[Any]
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    connections: list[asyncio.Task[Any]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer every request of one connection, until the client closes it."""
        task = asyncio.current_task()
        assert task is not None
        self.connections.append(task)
        while head := await reader.readline():
            headers = {}
            while (line := (await reader.readline()).decode().strip()) != "":
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            body = await reader.readexactly(int(headers["content-length"]))
            self.requests.append((head.decode().strip(), headers, body))
            status, answer = self._answer()
            sent = json.dumps(answer).encode()
            writer.write(
                b"HTTP/1.1 %d x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
                % (status, len(sent))
            )
            writer.write(sent)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def _answer(self) -> tuple[int, dict[str, Any]]:
        reply = self.replies[min(len(self.requests), len(self.replies)) - 1]
        if not isinstance(reply, str):
            return reply  # type: ignore[no-any-return] # the table's other kind
        message = {"role": "assistant", "content": reply}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        return 200, {
            "id": "r",
            "object": "chat.completion",
            "model": "m",
            "choices": [choice],
            "usage": usage,
        }


@asynccontextmanager
async def provided(replies: Sequence[Any]) -> AsyncIterator[tuple[Provider, str]]:
    """A provider that listens, and its address."""
    provider = Provider(replies)
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    try:
        yield provider, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()
        await asyncio.wait_for(asyncio.gather(*provider.connections), 10)
        await server.wait_closed()


def connection(url: str) -> dict[str, Any]:
    """What both sides reach the provider by."""
    return {"api_base": url, "api_key": "sk-made-up", "cache": False, "num_retries": 0}


async def outcome(module: Any, inputs: dict[str, Any]) -> Any:
    """What one query came to; the address and what follows from it left out."""
    try:
        return described(await module.acall(**inputs))
    except Exception as error:  # noqa: BLE001 - how a query ends is what is compared
        return (type(error), getattr(error, "status", None), getattr(error, "code", None))


async def by_dspy(name: str) -> tuple[Any, Provider]:
    """DSPy's module with DSPy's client."""
    make, inputs, replies = PROGRAMS[name]
    async with provided(replies) as (provider, url):
        lm = dspy.LM("openai/gpt-4o-mini", **connection(url))
        with dspy.context(lm=lm, disable_history=True, trace=[], track_usage=False):
            found = await outcome(make(), inputs)
        await lm.aclose()
        return found, provider


async def by_us(name: str) -> tuple[Any, Provider]:
    """The fast module at the seams, as it is served."""
    make, inputs, replies = PROGRAMS[name]
    clock, observer, bridge = SystemClock(), RecordingObserver(), LoopBridge()
    threads = WorkThreads("tool", size=2)
    async with provided(replies) as (provider, url):
        upstreams = Upstreams(
            make_seam=lambda model, way: make_seam(model, way, clock=clock, observer=observer),
            options=LMOptions(model="openai/gpt-4o-mini", api_base=url, api_key="sk-made-up"),
            bridge=bridge,
        )
        bridge.attach()
        tools = ToolSeam(threads=threads, bridge=bridge, timeout_seconds=20.0)
        module = make()
        SeamTaker(upstreams=upstreams, tools=tools).take(module)
        accelerate(module)
        lm = upstreams.configured()
        await upstreams.warm()
        run = Run(request_id="r", deadline=Deadline.after(clock, 30.0), clock=clock, observer=observer)
        with running(run, lm):
            found = await outcome(module, inputs)
        await upstreams.aclose()
        threads.close()
        bridge.detach()
        return found, provider


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_provider_gets_the_very_bytes(name: str) -> None:
    """Line, key and body of every request are those that DSPy sends, and the outcome is the same."""
    stock, there = await by_dspy(name)
    fast, here = await by_us(name)
    assert len(there.requests) > 0
    assert [(line, headers["authorization"], body) for line, headers, body in here.requests] == [
        (line, headers["authorization"], body) for line, headers, body in there.requests
    ]
    assert fast == stock


async def test_a_provider_that_gets_other_bytes_is_told_of() -> None:
    """The comparison looks at the bodies: two questions differ in them."""
    PROGRAMS["other"] = (PROGRAMS["plain"][0], {"question": "another"}, PROGRAMS["plain"][2])
    (_, one), (_, other) = await by_dspy("plain"), await by_dspy("other")
    del PROGRAMS["other"]
    assert [body for _, _, body in one.requests] != [body for _, _, body in other.requests]
