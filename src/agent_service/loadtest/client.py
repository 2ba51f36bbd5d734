"""Queries over HTTP, sent as cheaply as the measuring needs it."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp
import orjson

from agent_service.loadtest.load import Reply

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from typing_extensions import Self

_OK = 200
_KEEP_ALIVE_SECONDS = 4.0
"""Less than the five of a plain uvicorn, or queries would meet connections that it is closing."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a query is posted to, how its JSON body is made from its number, and who vouches there."""

    url: str
    body: Callable[[int], Mapping[str, str]]
    headers: Mapping[str, str] = field(default_factory=dict)
    trust: ssl.SSLContext | None = None


class Client:
    """Sends queries to one endpoint over as many kept connections as are in use at once.

    An async context manager; leaving it closes the connections.

    Args:
        endpoint: where and what.
        timeout_seconds: how long to wait for one reply.
        first: number of the first query.
    """

    def __init__(self, endpoint: Endpoint, *, timeout_seconds: float = 120.0, first: int = 1) -> None:
        self._endpoint = endpoint
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._numbers = itertools.count(first)
        self._headers = {"content-type": "application/json", **endpoint.headers}
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"<Client of {self._endpoint.url}>"

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=_KEEP_ALIVE_SECONDS, ssl=self._endpoint.trust or True
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self) -> Reply:
        """Send the next query. A failure to connect or to answer in time is a reply too."""
        if self._session is None:
            raise RuntimeError("a client sends inside its context")
        body = orjson.dumps(self._endpoint.body(next(self._numbers)))
        try:
            async with self._session.post(self._endpoint.url, data=body, headers=self._headers) as response:
                return reply_of(response.status, await response.read())
        except asyncio.TimeoutError:
            return Reply("no_reply_in_time")
        except (aiohttp.ClientError, OSError) as error:
            return Reply(f"connection_failed: {type(error).__name__}")


def reply_of(status: int, body: bytes) -> Reply:
    """An answer with the LM calls it tells of, or the error code of a problem, else its status."""
    try:
        told = orjson.loads(body)
    except ValueError:
        told = None
    told = told if isinstance(told, dict) else {}
    if status != _OK:
        code = told.get("error")
        return Reply(code if isinstance(code, str) else f"http_{status}")
    usage = told.get("usage")
    calls = usage.get("lm_calls") if isinstance(usage, dict) else None
    return Reply(lm_calls=calls if isinstance(calls, int) else None)
