"""The clients of the soak: some wait for their answer, some hang up, some break off while they send."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp

from bench.soak_queries import Kind, Query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.soak_ledger import Ledger

_PATIENCE_SECONDS = 60.0
_PAUSE_AFTER_REFUSAL_SECONDS = 0.25
_OK = 200
_UNAVAILABLE = 503


class Clients:
    """Sends queries over connections that are kept, at most so many at once, and counts how each ended.

    Args:
        base_url: the service.
        ledger: is told what was sent and what was acknowledged.
        on_finished: called after each query.
    """

    def __init__(self, base_url: str, *, ledger: Ledger, on_finished: Callable[[], object]) -> None:
        self.outcomes: Counter[tuple[Kind, str]] = Counter()
        self.latencies_seconds: list[float] = []
        self._base_url = base_url
        self._ledger = ledger
        self._on_finished = on_finished

    def __repr__(self) -> str:
        return f"<Clients {self.outcomes.total()} queries>"

    async def send_all(self, queries: Iterator[Query], *, concurrency: int) -> None:
        """Send every query; returns when the last has ended and all connections are closed."""
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*(self._send_each(session, queries) for _ in range(concurrency)))

    async def _send_each(self, session: aiohttp.ClientSession, queries: Iterator[Query]) -> None:
        for query in queries:
            outcome = await self._send(session, query)
            self.outcomes[query.kind, outcome] += 1
            self._on_finished()
            if outcome.startswith(str(_UNAVAILABLE)):
                await asyncio.sleep(_PAUSE_AFTER_REFUSAL_SECONDS)

    async def _send(self, session: aiohttp.ClientSession, query: Query) -> str:
        """How it ended: status and error code, or what the client did."""
        if query.kind is not Kind.BAD:
            self._ledger.sent(query.number, query.user_id, query.question, time.monotonic())
        try:
            if query.kind is Kind.BREAKS_OFF:
                return await self._break_off(query)
            return await self._ask(session, query)
        except asyncio.TimeoutError:
            return "no answer in time" if query.leave_seconds is None else "client left"
        except (aiohttp.ClientError, OSError) as error:
            return f"connection failed: {type(error).__name__}"

    async def _ask(self, session: aiohttp.ClientSession, query: Query) -> str:
        started_seconds = time.monotonic()
        waits_seconds = _PATIENCE_SECONDS if query.leave_seconds is None else query.leave_seconds
        async with session.request(
            query.method,
            f"{self._base_url}{query.path}",
            data=query.body,
            headers={"content-type": query.content_type},
            timeout=aiohttp.ClientTimeout(total=waits_seconds),
        ) as response:
            body: dict[str, Any] = await response.json(content_type=None)
        ended_seconds = time.monotonic()
        if response.status != _OK:
            return f"{response.status} {body['error']}"
        self._ledger.answered(query.number, body, ended_seconds)
        if query.kind in {Kind.PLAIN, Kind.TOOLS, Kind.THREAD}:
            self.latencies_seconds.append(ended_seconds - started_seconds)
        return f"{response.status} answered"

    async def _break_off(self, query: Query) -> str:
        """Promise a whole body, send half of it and break the connection."""
        address = urlsplit(self._base_url)
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        head = (
            f"POST {query.path} HTTP/1.1\r\nhost: {address.netloc}\r\ncontent-type: {query.content_type}\r\n"
            f"content-length: {len(query.body)}\r\n\r\n"
        )
        writer.write(head.encode() + query.body[: len(query.body) // 2])
        await writer.drain()
        writer.transport.abort()
        return "client left"
