"""A TCP proxy between a client and its server that delays, swallows and cuts."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class TcpProxy:
    """Passes everything on to ``port``, unless told otherwise.

    Attributes:
        delay_seconds: how long each answer is held back.
        lose_replies: answers that are yet to be thrown away together with their connection.
        requests: chunks that came from clients.
    """

    def __init__(self, port: int) -> None:
        self.delay_seconds = 0.0
        self.lose_replies = 0
        self.requests = 0
        self._target = port
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Where clients reach it."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._ends:
            task.cancel()
        await asyncio.gather(*self._ends, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._ends.add(task)
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
            try:
                requests = asyncio.ensure_future(self._pass_requests(reader, there_writer))
                replies = asyncio.ensure_future(self._pass_replies(there_reader, writer))
                try:
                    await asyncio.wait({requests, replies}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    requests.cancel()
                    replies.cancel()
                    await asyncio.gather(requests, replies, return_exceptions=True)
            finally:
                there_writer.close()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._ends.discard(task)
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _pass_requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65_536):
            self.requests += 1
            writer.write(chunk)
            await writer.drain()

    async def _pass_replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65_536):
            if self.lose_replies:
                self.lose_replies -= 1
                return
            await asyncio.sleep(self.delay_seconds)
            writer.write(chunk)
            await writer.drain()
