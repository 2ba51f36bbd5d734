"""A JSON document on its way to the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import Receive, Scope, Send


class JsonAnswer:
    """An ASGI app that answers 200 with a body that is there, as Starlette's ``Response`` does at more cost.

    Args:
        body: the document.
        headers: more of them, names in lower case.
    """

    def __init__(self, body: bytes, *, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.body = body
        self._headers = headers

    def __repr__(self) -> str:
        return f"<JsonAnswer of {len(self.body)} bytes>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        del scope, receive
        length = (b"content-length", b"%d" % len(self.body))
        headers = [*self._headers, length, (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})
