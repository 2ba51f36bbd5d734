"""Key sets over HTTP, within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent_service.access.jwks_client import MAX_BYTES, JwksClient
from agent_service.access.watched_file import UnreadableError
from tests.identity_provider import IdentityProvider

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    """A provider on loopback."""
    provider = IdentityProvider()
    yield provider
    provider.close()


async def _fetched(url: str) -> bytes:
    client = JwksClient(url)
    try:
        return await client.fetch()
    finally:
        await client.close()


async def test_the_body_is_fetched(provider: IdentityProvider) -> None:
    """As it was sent."""
    assert await _fetched(provider.url) == provider.body


@pytest.mark.parametrize("status", [204, 302, 404, 500])
async def test_any_other_answer_is_an_error(provider: IdentityProvider, status: int) -> None:
    """A redirect too: whoever could send one could name any host."""
    provider.status = status

    with pytest.raises(UnreadableError, match=str(status)):
        await _fetched(provider.url)


async def test_a_long_answer_is_not_read_to_its_end(provider: IdentityProvider) -> None:
    """What is longer than any key set is none."""
    provider.body = b" " * (MAX_BYTES + 1)

    with pytest.raises(UnreadableError, match="longer"):
        await _fetched(provider.url)


async def test_no_answer_is_an_error() -> None:
    """Its kind is told, for the operator."""
    provider = IdentityProvider()
    provider.close()

    with pytest.raises(UnreadableError, match="ConnectError"):
        await _fetched(provider.url)
