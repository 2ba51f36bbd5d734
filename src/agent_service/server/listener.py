"""The socket that clients connect to."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

BACKLOG = 2048
"""Connections the kernel keeps until they are accepted."""


class CannotListenError(Exception):
    """The address cannot be used. The message is for whoever starts the service."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    It listens before the service is up, so that a port in use is known at once and early clients wait
    instead of being refused.

    Raises:
        CannotListenError: the address is in use, not ours, or not permitted.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        address = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)[0][4]
        listener = socket.create_server(
            (str(address[0]), port),
            family=family,
            backlog=BACKLOG,
            dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
        )
    except OSError as error:
        raise CannotListenError(_explained(host, port, error)) from error
    # Accepted sockets inherit it; asyncio sets it only where the listener names its protocol.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def handles_of(listener: socket.socket, count: int) -> list[socket.socket]:
    """The socket and more handles on it, ``count`` together, all of them to be served and closed.

    A server of libuv (since 1.45) accepts one connection for each handle in a turn of its loop. With one
    handle a crowd that comes at once, while turns are long, waits for as many turns as there are in it.
    """
    return [listener, *(listener.dup() for _ in range(count - 1))]


def url_of(listener: socket.socket, *, is_secure: bool = False) -> str:
    """Where a browser on this machine finds it."""
    scheme = "https" if is_secure else "http"
    host, port = listener.getsockname()[:2]
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        return f"{scheme}://localhost:{port}"
    return f"{scheme}://[{host}]:{port}" if address.version == 6 else f"{scheme}://{host}:{port}"  # noqa: PLR2004 - IPv6


def _explained(host: str, port: int, error: OSError) -> str:
    unknown = isinstance(error, socket.gaierror)
    # socket.create_server adds words of its own to the error's text.
    reason = str(error.strerror) if unknown else os.strerror(error.errno or 0)
    host_is_wrong = unknown or error.errno == errno.EADDRNOTAVAIL
    setting = "SERVER_HOST" if host_is_wrong else "SERVER_PORT"
    return f"cannot listen on {host}:{port}: {reason[:1].lower()}{reason[1:]}; set {setting}"
