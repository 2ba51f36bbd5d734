"""A provider that costs next to nothing: the same completion for every POST, from a process of its own.

``/hang`` sends half an answer and no more; ``/open`` says how many other connections are open.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from pathlib import Path
from typing import cast

import uvloop

_TEXT = "[[ ## next_thought ## ]]\nLook it up.\n\n[[ ## next_tool_name ## ]]\nlook_up\n\n"
_COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_800_000_000,
    "model": "gpt-4o-mini",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": _TEXT * 2, "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 812,
        "completion_tokens": 61,
        "total_tokens": 873,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    },
    "service_tier": "default",
}
_BODY = json.dumps(_COMPLETION).encode()
_HEADS = b"content-type: application/json\r\nx-request-id: req_1\r\nserver: provider\r\n"
_ANSWER = b"HTTP/1.1 200 OK\r\n%scontent-length: %d\r\n\r\n%s" % (_HEADS, len(_BODY), _BODY)


class Connection(asyncio.Protocol):
    """One client's."""

    open: set[Connection] = set()  # noqa: RUF012 - shared by all connections on purpose

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        self._transport = cast("asyncio.Transport", transport)
        self._received = b""
        self.open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it no more."""
        del exc
        self.open.discard(self)

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        self._received += data
        while True:
            head, end, rest = self._received.partition(b"\r\n\r\n")
            if not end:
                return
            _, found, length = head.lower().partition(b"content-length:")
            body_bytes = int(length.split(b"\r\n", 1)[0]) if found else 0
            if len(rest) < body_bytes:
                return
            self._received = rest[body_bytes:]
            self._transport.write(self._answer(head))

    def _answer(self, head: bytes) -> bytes:
        target = head.split(b" ", 2)[1]
        if target.endswith(b"/hang"):
            return _ANSWER[: len(_ANSWER) // 2]
        if target.endswith(b"/open"):
            count = b"%d" % (len(self.open) - 1)
            return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(count), count)
        return _ANSWER


async def main(certificate: Path | None) -> None:
    """Print the port, and answer until ended."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
