"""An HTTP transport for DSPy's native client that reads no more of an answer than fits a limit.

DSPy's own transport collects a body for as long as it comes; a provider, or whoever stands in between, could
fill the service's memory with one answer.
"""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from dspy._vendor.lm15.transports import AsyncTransportResponse, ProtocolError, StdlibAsyncTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from dspy import lm15
    from dspy._vendor.lm15.transports import TransportRequest

MAX_BODY_BYTES = 16 * 1024 * 1024


class BoundedTransport:
    """What ``lm15.RouterConfig(transport=...)`` takes. Belongs to the loop that first uses it.

    Args:
        timeouts: waits of one connection: connect, read, write, and for a free one.
        max_connections: connections at once.
        max_body_bytes: longest body of an answer, after decompression, errors included.
    """

    def __init__(
        self, *, timeouts: lm15.Timeouts, max_connections: int, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        self._transport = StdlibAsyncTransport(
            connect_timeout=timeouts.connect,
            read_timeout=timeouts.read,
            write_timeout=timeouts.write,
            pool_timeout=timeouts.pool,
            max_connections=max_connections,
        )
        self._max_body_bytes = max_body_bytes

    def __repr__(self) -> str:
        return f"<BoundedTransport {self._max_body_bytes} B, {self._transport.pool_stats()}>"

    @asynccontextmanager
    async def stream(self, request: TransportRequest) -> AsyncIterator[AsyncTransportResponse]:
        """Send ``request``; the connection is closed, not reused, when the body is left unread.

        Raises:
            ProtocolError: here or while reading, for a body that is too long or compressed more than once,
                which would unfold beyond the limit in one step. The client makes it a
                ``dspy.lm15.TransportError``.
        """
        async with self._transport.stream(request) as response:
            if len(response.headers_all("content-encoding")) > 1 or "," in _coding(response):
                raise ProtocolError("the body is compressed more than once")
            yield _Response(
                status=response.status,
                reason=response.reason,
                headers=response.headers,
                http_version=response.http_version,
                chunks=self._bounded(response),
                release=_released_by_the_stream,
            )

    async def aclose(self) -> None:
        """Close the connections, those in use too."""
        await self._transport.aclose()

    async def _bounded(self, response: AsyncTransportResponse) -> AsyncIterator[bytes]:
        read_bytes = 0
        async with aclosing(response.__aiter__()) as chunks:
            async for chunk in chunks:
                read_bytes += len(chunk)
                if read_bytes > self._max_body_bytes:
                    raise ProtocolError(f"the body is longer than {self._max_body_bytes} bytes")
                yield chunk


class _Response(AsyncTransportResponse):
    """An answer whose error lets go of what was read, though its traceback is kept for a while."""

    async def read(self) -> bytes:
        """The whole body."""
        body = bytearray()
        try:
            async for chunk in self:
                body += chunk
            return bytes(body)
        finally:
            body.clear()


def _coding(response: AsyncTransportResponse) -> str:
    return response.header("content-encoding") or ""


async def _released_by_the_stream(body_consumed: object) -> None:
    """Nothing: the response that is wrapped is released when ``stream`` is left."""
