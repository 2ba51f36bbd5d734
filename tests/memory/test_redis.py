"""What is particular to conversations in Redis: bounds, durability, replicas, failover, access rules."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from agent_service.core.clock import SystemClock
from agent_service.core.errors import MemoryUnavailableError
from agent_service.core.messages import ConversationId, Turn
from agent_service.memory.base import IdempotencyKey, RecordUnusableError, StoreOptions
from agent_service.memory.redis import RedisStore
from agent_service.memory.redis_connection import TooFewReplicasError
from agent_service.memory.redis_options import RedisOptions
from tests.processes import wait_until
from tests.redis_servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.redis_servers import RedisClusterServers

HERE = ConversationId("user", "session")
KEY = IdempotencyKey("user", "key")


def _turn(turn_id: str, answer: str = "a") -> Turn:
    return Turn(turn_id, "q", answer, 0.5)


@asynccontextmanager
async def _open(
    url: str, *, timeout_seconds: float = 5.0, max_turns: int = 100, **more: int
) -> AsyncIterator[RedisStore]:
    options = RedisOptions(url, timeout_seconds=timeout_seconds, **more)
    store = RedisStore(StoreOptions(max_turns=max_turns), options, clock=SystemClock())
    await store.start()
    try:
        yield store
    finally:
        await store.close()


async def test_a_socket_of_the_host_leads_to_redis_too(tmp_path: Path) -> None:
    """unix:// has a path where the others have a host, and none of TCP's options."""
    path = tmp_path / "s"
    server = RedisServer(tmp_path / "redis", f"unixsocket {path}")
    try:
        async with _open(f"unix://{path}") as store:
            assert (await store.commit(HERE, _turn("t1"), base_seq=0)).seq == 1
    finally:
        server.kill()


async def test_long_conversations_are_trimmed_by_their_length(redis_server: RedisServer) -> None:
    """The oldest turns go beyond max_conversation_bytes, never the newest; ids and seqs stay as they are."""
    async with _open(redis_server.url, max_conversation_bytes=5_000) as store:
        for number in range(1, 6):
            await store.commit(HERE, _turn(f"t{number}", "x" * 2_000), base_seq=0)
        assert [stored.seq for stored in (await store.page(HERE, limit=9)).turns] == [4, 5]
        assert (await store.commit(HERE, _turn("t1"), base_seq=0)).seq == 1

        await store.commit(HERE, _turn("t6", "x" * 20_000), base_seq=0)

        assert [stored.seq for stored in (await store.page(HERE, limit=9)).turns] == [6]


async def test_the_ids_remembered_are_bounded(redis_server: RedisServer) -> None:
    """A conversation that never ends does not grow."""
    async with _open(redis_server.url, max_turns=3) as store:
        for number in range(50):
            await store.commit(HERE, _turn(f"t{number}"), base_seq=0)

    with redis_server.client() as client:
        lengths = [client.hlen(key) for key in client.scan_iter("*:s")]
    assert lengths == [2 * 2 * 3]


async def test_lowering_max_turns_shows_fewer(redis_server: RedisServer) -> None:
    """A restart with a smaller max_turns holds at once."""
    async with _open(redis_server.url) as store:
        for number in range(1, 6):
            await store.commit(HERE, _turn(f"t{number}"), base_seq=0)
    async with _open(redis_server.url, max_turns=2) as store:
        page = await store.page(HERE, limit=9)
        assert ([stored.seq for stored in page.turns], page.next_before_seq) == ([4, 5], None)
        assert (await store.sessions("user"))[0].turns == 2
        assert await store.erase("user") == 2


async def test_erasing_a_user_leaves_no_key(redis_server: RedisServer) -> None:
    """Turns, heads, ids, leases, lists and records: all of it, of several hundred sessions too."""
    async with _open(redis_server.url) as store:
        for number in range(250):
            await store.commit(ConversationId("user", f"s{number}"), _turn("t"), base_seq=0)
        await store.take_turn(HERE, token="a", ttl_seconds=60.0)
        await store.commit(HERE, _turn("t"), base_seq=0)
        await store.claim(KEY, fingerprint="f", turn_id="t", ttl_seconds=60.0, running_ttl_seconds=60.0)
        await store.finish(KEY, turn_id="t", response=b"r", ttl_seconds=60.0)
        assert len(await store.sessions("user", limit=300)) == 251

        assert await store.erase("user") == 251

    with redis_server.client() as client:
        assert client.dbsize() == 0


async def test_erasing_a_user_of_a_cluster_leaves_no_key(redis_cluster: RedisClusterServers) -> None:
    """The same where the keys are spread over servers."""
    async with _open(redis_cluster.url) as store:
        for number in range(250):
            await store.commit(ConversationId("user", f"s{number}"), _turn("t"), base_seq=0)
        assert await store.erase("user") == 250

    assert [node.command("DBSIZE") for node in redis_cluster.nodes] == [0, 0, 0]


async def test_ids_are_in_no_name_of_a_key(redis_server: RedisServer) -> None:
    """Names show up in logs and monitors of Redis; users do not."""
    async with _open(redis_server.url) as store:
        await store.commit(ConversationId("ada@example.org", "s"), _turn("t"), base_seq=0)

    with redis_server.client() as client:
        names = [bytes(key) for key in client.scan_iter()]
    assert names
    assert not [name for name in names if b"ada" in name or not name.startswith(b"agsv:1:{")]


async def test_a_turn_whose_time_is_no_number_is_refused(redis_server: RedisServer) -> None:
    """What could not be read again is not stored."""
    async with _open(redis_server.url) as store:
        with pytest.raises(RecordUnusableError):
            await store.commit(HERE, Turn("t", "q", "a", float("nan")), base_seq=0)
        assert (await store.read(HERE, last_turns=1)).last_seq == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"appendonly": "yes", "maxmemory-policy": "noeviction"}, []),
        ({"appendonly": "no", "maxmemory-policy": "noeviction"}, ["no append-only file"]),
        ({"appendonly": "yes", "maxmemory-policy": "volatile-lru"}, ["removes keys"]),
    ],
)
async def test_the_start_warns_of_a_redis_that_forgets(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture, settings: dict[str, str], said: list[str]
) -> None:
    """No append-only file, or eviction: stored turns would vanish, and nobody would hear of it."""
    try:
        for name, value in settings.items():
            redis_server.command("CONFIG", "SET", name, value)
        with caplog.at_level(logging.WARNING):
            async with _open(redis_server.url):
                pass
    finally:
        redis_server.command("CONFIG", "SET", "appendonly", "yes")
        redis_server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")

    assert len(caplog.messages) == len(said)
    assert all(words in message for words, message in zip(said, caplog.messages, strict=True))


async def test_the_documented_access_rule_is_enough(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Every operation works with the rights that docs/memory.md names, and no key of others is reached."""
    rule = ("~agsv:1:*", "+@read", "+@write", "+eval", "+evalsha", "+ping", "+time", "+wait")
    redis_server.command("ACL", "SETUSER", "service", "reset", "on", ">secret", *rule)
    try:
        async with _open(f"redis://service:secret@127.0.0.1:{redis_server.port}") as store:
            await store.commit(HERE, _turn("t"), base_seq=0)
            await store.read(HERE, last_turns=1)
            await store.sessions("user")
            await store.take_turn(HERE, token="a", ttl_seconds=1.0)
            await store.give_turn(HERE, token="a")
            await store.claim(KEY, fingerprint="f", turn_id="t", ttl_seconds=9.0, running_ttl_seconds=9.0)
            await store.finish(KEY, turn_id="t", response=b"r", ttl_seconds=9.0)
            await store.abandon(KEY, turn_id="t")
            assert await store.erase("user") == 1
    finally:
        redis_server.command("ACL", "DELUSER", "service")
    assert caplog.messages == []  # INFO was not allowed, which is no reason to warn


@pytest.fixture
def replicated(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer]]:
    """A master and its replica, in step."""
    master = RedisServer(tmp_path / "master", "repl-diskless-sync-delay 0")
    replica = RedisServer(tmp_path / "replica", f"replicaof 127.0.0.1 {master.port}")
    try:
        wait_until(
            "in step", lambda: "'master_link_status': 'up'" in str(replica.command("INFO", "replication"))
        )
        yield master, replica
    finally:
        replica.signal(signal.SIGCONT)
        replica.kill()
        master.kill()


async def test_a_turn_that_no_replica_confirms_does_not_count_as_stored(
    replicated: tuple[RedisServer, RedisServer],
) -> None:
    """It is on the master and may be lost with it, so the caller is told; a repeated commit settles it."""
    master, replica = replicated
    async with _open(master.url, wait_replicas=1) as store:
        assert (await store.commit(HERE, _turn("t1"), base_seq=0)).seq == 1
        replica.signal(signal.SIGSTOP)

        for _ in range(2):  # the second changes nothing on the master, and still is not on the replica
            with pytest.raises(MemoryUnavailableError) as failed:
                await store.commit(HERE, _turn("t2"), base_seq=1)
            assert isinstance(failed.value.__cause__, TooFewReplicasError)
        assert (await store.read(HERE, last_turns=1)).last_seq == 2
        replica.signal(signal.SIGCONT)

        assert (await store.commit(HERE, _turn("t2"), base_seq=1)).seq == 2


async def test_a_failover_is_followed(replicated: tuple[RedisServer, RedisServer], tmp_path: Path) -> None:
    """R6: Sentinel names a new master; commits go there by themselves, and confirmed turns are there."""
    master, replica = replicated
    sentinel = RedisServer(
        tmp_path / "sentinel",
        f"sentinel monitor main 127.0.0.1 {master.port} 1",
        "sentinel down-after-milliseconds main 500",
        "sentinel failover-timeout main 5000",
        sentinel=True,
    )
    try:
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/main/0"
        async with _open(url, timeout_seconds=30.0, wait_replicas=0) as store:
            await store.commit(HERE, _turn("t1"), base_seq=0)
            wait_until(
                "the sentinel knows the replica",
                lambda: "'slaves': 1" in str(sentinel.command("INFO", "sentinel")),
                seconds=30,
            )
            wait_until("t1 is replicated", lambda: replica.command("DBSIZE") == master.command("DBSIZE"))
            master.kill()

            assert (await store.commit(HERE, _turn("t2"), base_seq=1)).seq == 2

        assert replica.command("DBSIZE") > 0
    finally:
        sentinel.kill()


async def test_a_node_of_a_cluster_that_is_back_is_used_again(redis_cluster: RedisClusterServers) -> None:
    """While it is away its conversations fail in time and those of others go on."""
    users = [ConversationId(f"user {number}") for number in range(30)]
    async with _open(redis_cluster.url) as store:
        for user in users:
            await store.commit(user, _turn("t1"), base_seq=0)
        redis_cluster.nodes[0].kill()
        outcomes = await asyncio.gather(
            *(store.read(user, last_turns=1) for user in users), return_exceptions=True
        )
        failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert failed
        assert all(isinstance(outcome, MemoryUnavailableError) for outcome in failed)
        redis_cluster.nodes[0].start()
        wait_until("the cluster is whole", redis_cluster.is_whole, seconds=30.0)

        for user in users:
            assert (await store.read(user, last_turns=1)).last_seq == 1
