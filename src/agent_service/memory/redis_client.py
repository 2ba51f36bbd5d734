"""The client library, set up so that nothing waits long and nothing is repeated behind our back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff

if TYPE_CHECKING:
    from agent_service.memory.redis_url import RedisAddress

_HEALTH_CHECK_SECONDS = 15


class _SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the current master; a call waits for one to be free."""


def make_client(address: RedisAddress, *, wait_seconds: float, max_connections: int) -> Any:
    """One client with one pool; it belongs to the running event loop, and connects when it is first used.

    Its own retries are off: they would repeat what is not known to be undone. Parameters in the address win.

    Args:
        address: where Redis is.
        wait_seconds: for a connection, for a free place in the pool, and for each answer.
        max_connections: to one server.
    """
    connecting = {
        "socket_timeout": wait_seconds,
        "socket_connect_timeout": wait_seconds,
        "health_check_interval": _HEALTH_CHECK_SECONDS,
        "max_connections": max_connections,
        **address.connecting,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,  # nothing of RESP3 is used, and its greeting costs round trips
        "driver_info": None,
    }
    if "path" not in connecting:  # a socket of the host has no such option
        connecting.setdefault("socket_keepalive", True)
    if address.form == "cluster":
        connecting["ssl"] = address.is_tls
        connecting.pop("connection_class", None)
        nodes = [ClusterNode(host, port) for host, port in address.nodes]
        return RedisCluster(startup_nodes=nodes, **connecting)
    connecting["timeout"] = wait_seconds
    if address.form == "sentinel":
        return _sentinel_client(address, connecting)
    return Redis.from_pool(BlockingConnectionPool(**connecting))


async def close_client(client: Any) -> None:
    """Disconnect, from the Sentinels too."""
    await client.aclose()
    pool = getattr(client, "connection_pool", None)
    if isinstance(pool, _SentinelPool):
        await pool.sentinel_manager.aclose()


def _sentinel_client(address: RedisAddress, connecting: dict[str, Any]) -> Any:
    names = ("socket_timeout", "socket_connect_timeout", "socket_keepalive", "protocol", "retry")
    asking = {name: connecting[name] for name in names}
    tls = {name: value for name, value in connecting.items() if name.startswith("ssl_")}
    connecting.pop("connection_class", None)
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        address.nodes,
        sentinel_kwargs={**asking, **tls, **address.sentinel_login, "ssl": address.is_tls},
        ssl=address.is_tls,
        **connecting,
    )
    return sentinel.master_for(address.service, connection_pool_class=_SentinelPool)
