"""New connections: TLS with all its checks, errors that say where, and nothing left behind."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from dspy._vendor.lm15.transports import ConnectError, ConnectTimeout

from agent_service.programs.lm.http.connection import Connection
from agent_service.programs.lm.http.connector import Connector, Origin
from tests.faults.certificates import EXPIRED, VALID, Authority
from tests.programs.conftest import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.faults.certificates import Leaf


def made() -> Connection:
    """A connection of no pool."""
    return Connection(when_over=lambda *_: None, when_lost=lambda _: None)


@asynccontextmanager
async def listening(leaf: Leaf | None = None) -> AsyncIterator[tuple[int, list[str]]]:
    """A server's port, and what becomes of each connection to it."""
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append("open")
        with suppress(ConnectionError):
            await reader.read()
        seen.append("closed")
        writer.close()

    context = None
    if leaf is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(leaf.certificate, leaf.key)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], seen
        await eventually(lambda: seen.count("open") == seen.count("closed"))


async def test_a_private_authority_is_trusted_when_the_environment_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``SSL_CERT_FILE``; without it the same certificate is refused."""
    authority = Authority(tmp_path)
    async with listening(authority.leaf("provider", VALID)) as (port, _):
        origin = Origin(is_tls=True, host="127.0.0.1", port=port)
        with pytest.raises(ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await Connector(limit_seconds=5).connect(origin, made)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
        (await Connector(limit_seconds=5).connect(origin, made)).abort()
        other = Origin(is_tls=True, host="localhost.localdomain", port=port)
        with pytest.raises(ConnectError):
            await Connector(limit_seconds=5).connect(other, made)


async def test_an_expired_certificate_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a key is sent."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    async with listening(authority.leaf("provider", EXPIRED)) as (port, seen):
        with pytest.raises(ConnectError, match="expired"):
            await Connector(limit_seconds=5).connect(Origin(is_tls=True, host="127.0.0.1", port=port), made)
        assert seen == []


async def test_nobody_there_is_an_error_that_names_the_host() -> None:
    """Refused, or a name that is none."""
    for host in ("127.0.0.1", "no-such-host.invalid", "x" * 300):
        with pytest.raises(ConnectError, match=host):
            await Connector(limit_seconds=5).connect(Origin(is_tls=False, host=host, port=9), made)


async def test_a_handshake_that_hangs_ends_in_time() -> None:
    """And its socket is closed."""
    async with listening() as (port, seen):
        with pytest.raises(ConnectTimeout):
            await Connector(limit_seconds=0.5).connect(Origin(is_tls=True, host="127.0.0.1", port=port), made)
        await eventually(lambda: "closed" in seen)


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 13, 21])
async def test_whoever_leaves_meanwhile_leaves_nothing_open(turns: int) -> None:
    """Cancelled at any point on the way."""
    async with listening() as (port, seen):
        origin = Origin(is_tls=False, host="127.0.0.1", port=port)
        opening = asyncio.ensure_future(Connector(limit_seconds=5).connect(origin, made))
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        with suppress(asyncio.CancelledError):
            (await opening).abort()
        await asyncio.sleep(0.02)
        assert seen.count("open") == seen.count("closed")
