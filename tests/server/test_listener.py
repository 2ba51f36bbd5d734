from __future__ import annotations

import socket

import pytest

from agent_service.server.listener import CannotListenError, listen, url_of


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
