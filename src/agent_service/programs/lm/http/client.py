"""The HTTP client itself: sends a request over a connection of the pool, and again where that is safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.programs.lm.http.answer import Answer, UnansweredError
from agent_service.programs.lm.http.connector import Connector
from agent_service.programs.lm.http.pool import ConnectionPool

if TYPE_CHECKING:
    from agent_service.programs.lm.http.request_head import RequestHead

_CONNECT_SECONDS = 10.0


class HttpClient:
    """Speaks HTTP/1.1 to providers that are reached directly. Belongs to the loop that first uses it.

    Args:
        max_connections: exchanges at once; others wait in turn.
        max_body_bytes: longest body of an answer, after decompression.
    """

    def __init__(self, *, max_connections: int, max_body_bytes: int) -> None:
        connector = Connector(limit_seconds=_CONNECT_SECONDS)
        self.pool = ConnectionPool(max_connections=max_connections, connector=connector)
        self._max_body_bytes = max_body_bytes

    def __repr__(self) -> str:
        return f"<HttpClient {self.pool!r}>"

    async def begin(self, head: RequestHead, body: bytes) -> Answer:
        """Send a request and wait for the head of the answer, which the caller closes.

        A kept connection that turns out to be closed, before a byte came back, is replaced once.

        Raises:
            TransportError: when there is no answer.
        """
        message = head.with_body(body)
        connection = self.pool.take_kept(head.origin) or await self.pool.take(head.origin)
        while True:
            was_used = connection.is_used
            answer = Answer(max_body_bytes=self._max_body_bytes)
            connection.ask(message, answer, has_body=head.method != "HEAD")
            try:
                await answer.arrived()
            except UnansweredError:
                if not was_used:
                    raise
            except BaseException:
                answer.close()
                raise
            else:
                return answer
            connection = await self.pool.take(head.origin, fresh=True)

    async def aclose(self) -> None:
        """Close all connections, those in use too."""
        await self.pool.aclose()
