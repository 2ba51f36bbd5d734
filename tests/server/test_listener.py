from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack
from typing import cast

import pytest
import uvloop

from agent_service.server.listener import CannotListenError, handles_of, listen, url_of


def test_it_listens_on_a_free_port_and_says_where() -> None:
    """Port 0 takes a free port; the URL names the real one."""
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert url_of(listener) == f"http://127.0.0.1:{port}"
        socket.create_connection(("127.0.0.1", port)).close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - the default of the service
def test_every_interface_is_found_at_localhost(host: str) -> None:
    """No browser opens the address that means all of them; IPv6's takes IPv4 clients too."""
    with listen(host, 0) as listener:
        port = listener.getsockname()[1]
        assert url_of(listener) == f"http://localhost:{port}"
        socket.create_connection(("127.0.0.1", port)).close()


def test_an_ipv6_url_has_brackets() -> None:
    """RFC 3986 section 3.2.2."""
    with listen("::1", 0) as listener:
        assert url_of(listener) == f"http://[::1]:{listener.getsockname()[1]}"


def test_small_answers_are_not_delayed() -> None:
    """Accepted connections send at once: Nagle's algorithm costs 40 ms a small answer."""
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_in_use_names_the_setting() -> None:
    """Known at the start, before anything is loaded."""
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        said = f"cannot listen on 127.0.0.1:{port}: address already in use; set SERVER_PORT"
        with pytest.raises(CannotListenError, match=said):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["203.0.113.1", "no such host"])
def test_a_wrong_host_names_the_setting(host: str) -> None:
    """An address that is not this machine's, or none at all, is the host's fault."""
    with pytest.raises(CannotListenError, match=f"cannot listen on {host}:0: .*; set SERVER_HOST"):
        listen(host, 0)


def test_a_crowd_that_comes_at_once_is_accepted_in_one_turn_of_the_loop() -> None:
    """Or the last of a thousand new clients would wait for a thousand turns, however long each is."""
    accepted: list[asyncio.Transport] = []

    class Accepted(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.append(cast("asyncio.Transport", transport))

    async def serve(listener: socket.socket, clients: ExitStack) -> int:
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(Accepted, sock=handle) for handle in handles_of(listener, 16)]
        for _ in range(10):
            clients.enter_context(socket.create_connection(listener.getsockname()))
        turns = 0
        while len(accepted) < 10:
            await asyncio.sleep(0)
            turns += 1
        for server in servers:
            server.close()
        for connection in accepted:
            connection.abort()
        return turns

    with ExitStack() as clients:
        assert uvloop.run(serve(listen("127.0.0.1", 0), clients)) <= 4  # to hear of them, accept and tell
