"""The forms of a Redis address."""

from __future__ import annotations

import pytest
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection

from agent_service.memory.redis_url import parse_address


def test_one_server_is_named_with_login_and_database() -> None:
    """What is escaped in the URL is meant unescaped."""
    address = parse_address("redis://app:p%40ss@example.org:6380/2")

    expected = {"username": "app", "password": "p@ss", "host": "example.org", "port": 6380, "db": 2}
    assert (address.form, address.connecting) == ("single", expected)
    assert not address.is_tls


def test_a_socket_is_a_path() -> None:
    """On one host no port is needed."""
    connecting = parse_address("unix://app:secret@/run/redis.sock?db=3").connecting

    assert connecting.pop("connection_class") is UnixDomainSocketConnection
    assert connecting == {"username": "app", "password": "secret", "path": "/run/redis.sock", "db": 3}


@pytest.mark.parametrize("url", ["rediss://h", "rediss+sentinel://h/main", "rediss+cluster://h"])
def test_tls_is_a_letter_in_the_scheme(url: str) -> None:
    """Its parameters are those of the client library; the host is checked unless they say otherwise."""
    connecting = parse_address(f"{url}?ssl_ca_certs=/ca.pem&ssl_check_hostname=true").connecting

    assert parse_address(url).is_tls
    assert connecting["connection_class"] is SSLConnection
    assert (connecting["ssl_ca_certs"], connecting["ssl_check_hostname"]) == ("/ca.pem", True)


def test_sentinels_are_several_hosts_and_a_masters_name() -> None:
    """The login is the master's; that of the Sentinels stands in the query."""
    address = parse_address("redis+sentinel://app:s1@a:26379,b/main/1?sentinel_password=s2")

    assert (address.form, address.service) == ("sentinel", "main")
    assert address.nodes == (("a", 26379), ("b", 6379))
    assert address.connecting == {"username": "app", "password": "s1", "db": 1}
    assert address.sentinel_login == {"password": "s2"}


def test_a_cluster_is_found_from_any_node() -> None:
    """IPv6 addresses stand in brackets."""
    address = parse_address("redis+cluster://:secret@a:7000,[::1]:7001")

    assert (address.form, address.nodes) == ("cluster", (("a", 7000), ("::1", 7001)))
    assert address.connecting == {"password": "secret"}


def test_no_password_is_shown() -> None:
    """Addresses turn up in logs."""
    assert "secret" not in repr(parse_address("redis+sentinel://:secret@a/main?sentinel_password=secret"))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "http://h",
        "redis+magic://h",
        "unix+cluster:///s",
        "redis://a,b",
        "redis://h:port",
        "redis://h?db=x",
        "redis://h?no_such_parameter=1",
        "redis://h?decode_responses=true",
        "redis+sentinel://a:26379",
        "redis+sentinel://a/main/x",
        "redis+cluster://a,",
        "redis+cluster://a/1",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """At the start, not with the first query."""
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the parser's or ours
        parse_address(url)
