"""A language model that costs next to nothing: canned ReAct replies over raw HTTP/1.1.

    python -m bench.goals.stage.lm_stub

It tells from the prompt which step comes: the calculator's call, then ``finish``, then the answer. It takes
requests with a Content-Length, on keep-alive connections. ``PUT /0.2`` sets the seconds that each call takes;
``GET /`` gives the count of each reply and forgets it.
"""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections import Counter

import orjson
import uvloop

MODEL = "gpt-4o-mini"
"""One that DSPy's catalogue knows: for another it would search the whole of it at every call."""

ANSWER = "2+2 = 4"
_CALL_TOOL = (
    "[[ ## next_thought ## ]]\nThe calculator tool can answer this.\n\n"
    "[[ ## next_tool_name ## ]]\ncalculator\n\n"
    '[[ ## next_tool_args ## ]]\n{"expression": "2+2"}\n\n[[ ## completed ## ]]'
)
_FINISH = (
    "[[ ## next_thought ## ]]\nNothing more is needed.\n\n"
    "[[ ## next_tool_name ## ]]\nfinish\n\n"
    "[[ ## next_tool_args ## ]]\n{}\n\n[[ ## completed ## ]]"
)
_EXTRACT = (
    "[[ ## reasoning ## ]]\nThe answer comes from: calculator.\n\n"
    f"[[ ## answer ## ]]\n{ANSWER}\n\n[[ ## completed ## ]]"
)
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_END_OF_HEAD = b"\r\n\r\n"


def _response(content: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(content) + content


def _completion(text: str) -> bytes:
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 400, "completion_tokens": 40, "total_tokens": 440}
    head = {"id": "chatcmpl-stub", "object": "chat.completion", "created": 1_700_000_000, "model": MODEL}
    return _response(orjson.dumps({**head, "choices": [choice], "usage": usage}))


STEPS = ("tool", "finish", "extract")
"""The calls of one query."""

_REPLIES = dict(zip(STEPS, map(_completion, (_CALL_TOOL, _FINISH, _EXTRACT)), strict=True))


def step_of(body: bytes) -> str:
    """Which of ``STEPS`` this request is."""
    if b"next_tool_name" not in body:
        return "extract"
    return "finish" if b"[[ ## observation_0 ## ]]" in body else "tool"


def request_in(buffer: bytearray) -> tuple[bytes, bytes] | None:
    """Take the first whole request out of ``buffer``, as head and body; None while it is not all there.

    Raises:
        ValueError: when a POST does not say how long it is.
    """
    end = buffer.find(_END_OF_HEAD)
    if end < 0:
        return None
    head = bytes(buffer[:end])
    found = _LENGTH.search(head)
    if found is None and head.startswith(b"POST"):
        raise ValueError("the stub needs a Content-Length")
    start = end + len(_END_OF_HEAD)
    stop = start + (int(found[1]) if found else 0)
    if len(buffer) < stop:
        return None
    body = bytes(buffer[start:stop])
    del buffer[:stop]
    return head, body


class _Model:
    """What all connections share."""

    def __init__(self) -> None:
        self.counts = Counter[str]()
        self.latency_seconds = 0.0


class _Connection(asyncio.Protocol):
    """Answers one request after the other."""

    _transport: asyncio.Transport

    def __init__(self, model: _Model) -> None:
        self._model = model
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # a stream's is one that writes

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (request := request_in(self._buffer)) is not None:
            head, body = request
            if head.startswith(b"POST"):
                self._reply(step_of(body))
            else:
                self._control(head)

    def _reply(self, step: str) -> None:
        self._model.counts[step] += 1
        if self._model.latency_seconds:
            loop = asyncio.get_running_loop()
            loop.call_later(self._model.latency_seconds, self._write, _REPLIES[step])
        else:
            self._transport.write(_REPLIES[step])

    def _control(self, head: bytes) -> None:
        method, path, *_ = head.split()
        if method == b"PUT":
            self._model.latency_seconds = float(path[1:])
        counts = orjson.dumps(self._model.counts)
        self._model.counts.clear()
        self._transport.write(_response(counts))

    def _write(self, reply: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(reply)


async def _serve() -> None:
    loop, stopped, model = asyncio.get_running_loop(), asyncio.Event(), _Model()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    server = await loop.create_server(lambda: _Connection(model), "127.0.0.1", 0, backlog=4096)
    sys.stdout.write(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await stopped.wait()


if __name__ == "__main__":
    uvloop.run(_serve())
