"""Fetches a key set over HTTP."""

from __future__ import annotations

import httpx

from agent_service.access.watched_file import UnreadableError

MAX_BYTES = 262_144
"""More than any provider's key set has; what is longer is none."""

_TIMEOUT_SECONDS = 5.0
_OK = 200


class JwksClient:
    """Gets what is at one address, which does not send elsewhere. Close it.

    Args:
        url: the address.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, follow_redirects=False)

    def __repr__(self) -> str:
        return f"<JwksClient {self._url}>"

    async def fetch(self) -> bytes:
        """The body of the answer.

        Raises:
            UnreadableError: there is no answer, another than 200, or one that is too long.
        """
        try:
            async with self._client.stream(
                "GET", self._url, headers={"Accept": "application/json"}
            ) as response:
                if response.status_code != _OK:
                    raise UnreadableError(f"was answered with {response.status_code}")
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_BYTES:
                        raise UnreadableError(f"is longer than {MAX_BYTES} bytes")
                return bytes(body)
        except httpx.HTTPError as error:
            raise UnreadableError(f"cannot be fetched ({type(error).__name__})") from error

    async def close(self) -> None:
        """Let go of the connection."""
        await self._client.aclose()
