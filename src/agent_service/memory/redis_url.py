"""The address of a Redis: one server, a master found by Sentinel, or a cluster.

====================================================================  =====================================
``redis://[user:password@]host[:port][/db]``                          one server
``unix://[user:password@]/path/to.sock[?db=0]``                       one server, by a socket of the host
``redis+sentinel://[user:password@]host:port[,host:port]/name[/db]``  the master that Sentinel calls ``name``
``redis+cluster://[user:password@]host:port[,host:port]``             a cluster, found from any of its nodes
====================================================================  =====================================

``rediss`` instead of ``redis`` speaks TLS; ``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile`` and the other
query parameters of redis-py apply. ``sentinel_username`` and ``sentinel_password`` are for the Sentinels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

_DEFAULT_PORT = 6379
_OURS = ("decode_responses", "protocol", "retry_on_timeout", "timeout", "encoding", "encoding_errors")
"""Query parameters that would change what the store relies on."""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is, as one of three forms.

    Attributes:
        form: ``single``, ``sentinel`` or ``cluster``.
        nodes: hosts and ports of the Sentinels or of cluster nodes; empty for one server.
        service: the master's name at the Sentinels.
        connecting: what redis-py's connections take; holds the password.
        sentinel_login: user and password for the Sentinels.
    """

    form: str
    nodes: tuple[tuple[str, int], ...] = ()
    service: str = ""
    connecting: dict[str, Any] = field(default_factory=dict, repr=False)
    sentinel_login: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_tls(self) -> bool:
        """Whether connections are encrypted."""
        from redis.asyncio.connection import SSLConnection  # noqa: PLC0415 - long, and for few

        return self.connecting.get("connection_class") is SSLConnection


def parse_address(url: str) -> RedisAddress:
    """Understand ``url``.

    Raises:
        ValueError: it is none of the forms.
    """
    scheme, _, form = urlsplit(url).scheme.partition("+")
    if form not in ("", "sentinel", "cluster") or (form and scheme not in ("redis", "rediss")):
        raise ValueError("no form of address that is known")
    nodes = _nodes(url) if form else ()
    if not form and "," in urlsplit(url).netloc.rpartition("@")[2]:
        raise ValueError("several hosts need redis+sentinel:// or redis+cluster://")
    service, connecting = "", _parsed(_as_plain(url) if form else url)
    if form == "sentinel":
        service, _, db = urlsplit(url).path.strip("/").partition("/")
        if not service:
            raise ValueError("the address of Sentinels ends with the master's name")
        connecting["db"] = int(db or 0)
    login = {
        name: connecting.pop(f"sentinel_{name}")
        for name in ("username", "password")
        if f"sentinel_{name}" in connecting
    }
    if form:
        connecting = {name: value for name, value in connecting.items() if name not in ("host", "port")}
    if form == "cluster" and connecting.pop("db", 0):
        raise ValueError("a cluster has no numbered databases")
    return RedisAddress(form or "single", nodes, service, connecting, login)


def _parsed(url: str) -> dict[str, Any]:
    from redis.asyncio.connection import Connection, parse_url  # noqa: PLC0415 - long, and for few
    from redis.exceptions import RedisError  # noqa: PLC0415 - the same

    connecting: dict[str, Any] = dict(parse_url(url))
    refused = [name for name in _OURS if name in connecting]
    if refused:
        raise ValueError(f"{refused[0]} cannot be set")
    own = {name: value for name, value in connecting.items() if not name.startswith("sentinel_")}
    connection_class: Any = own.pop("connection_class", Connection)
    own.pop("max_connections", None)
    try:
        connection_class(**own)  # connects to nothing; refuses parameters that it does not know
    except (TypeError, RedisError) as error:
        raise ValueError(str(error)) from error
    return connecting


def _nodes(url: str) -> tuple[tuple[str, int], ...]:
    found = []
    for node in urlsplit(url).netloc.rpartition("@")[2].split(","):
        parts = urlsplit(f"//{node}")
        if not parts.hostname:
            raise ValueError("a host is missing")
        found.append((parts.hostname, parts.port or _DEFAULT_PORT))
    return tuple(found)


def _as_plain(url: str) -> str:
    """The same with one host, no form and no path, as redis-py reads it."""
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    plain = parts._replace(
        scheme=parts.scheme.partition("+")[0],
        netloc=f"{login}{at}{hosts.partition(',')[0]}",
        path="" if parts.scheme.endswith("sentinel") else parts.path,
    )
    return plain.geturl()
