"""What becomes of conversations when Redis fails: no acknowledged turn is lost, none is there twice."""

from __future__ import annotations

import asyncio
import random
import signal
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import redis

from agent_service.core.clock import SystemClock
from agent_service.core.errors import MemoryUnavailableError
from agent_service.core.messages import ConversationId, StoredTurn, Turn
from agent_service.memory.base import RecordUnusableError, StoreOptions
from agent_service.memory.redis import RedisStore
from agent_service.memory.redis_keys import conversation_keys
from agent_service.memory.redis_options import RedisOptions
from tests.redis_servers import RedisServer
from tests.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

HERE = ConversationId("user")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that the test may harm; a key that would stay for ever fails the test."""
    own = RedisServer(tmp_path / "redis")
    try:
        yield own
        own.signal(signal.SIGCONT)
        assert own.keys_without_expiry() == []
    finally:
        own.kill()


@asynccontextmanager
async def _open(url: str, *, timeout_seconds: float = 1.0, **more: int) -> AsyncIterator[RedisStore]:
    options = RedisOptions(url, timeout_seconds=timeout_seconds, **more)
    store = RedisStore(StoreOptions(max_turns=1_000), options, clock=SystemClock())
    await store.start()
    try:
        yield store
    finally:
        await store.close()


async def _commit(store: RedisStore, turn_id: str) -> StoredTurn:
    return await store.commit(HERE, Turn(turn_id, "question", "answer", 0.5), base_seq=0)


async def _ids(store: RedisStore) -> list[str]:
    """The turns, once their seqs are seen to be without gaps."""
    page = await store.page(HERE, limit=1_000)
    assert [stored.seq for stored in page.turns] == list(range(1, len(page.turns) + 1))
    return [stored.turn.turn_id for stored in page.turns]


async def _refused(store: RedisStore) -> BaseException | None:
    """That a read and a commit both fail within their limit, as errors of ours; the cause of the first."""
    began = SystemClock().monotonic()
    with pytest.raises(MemoryUnavailableError) as failed:
        await store.read(HERE, last_turns=1)
    with pytest.raises(MemoryUnavailableError):
        await _commit(store, "refused")
    assert SystemClock().monotonic() - began < 5.0
    return failed.value.__cause__


async def test_a_server_that_is_down_at_the_start_is_found_later(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """R1: the service starts and says so; calls fail until the server is there."""
    server.kill()
    async with _open(server.url) as store:
        assert "cannot be reached yet" in caplog.text
        await _refused(store)
        server.start()

        await _commit(store, "t1")

        assert await _ids(store) == ["t1"]


async def test_a_killed_server_that_comes_back_has_everything(server: RedisServer) -> None:
    """R2, R5: with an append-only file a crash loses nothing; the store reconnects by itself."""
    async with _open(server.url) as store:
        await asyncio.gather(*(_commit(store, f"t{number}") for number in range(200)))
        server.kill()
        assert isinstance(await _refused(store), redis.ConnectionError)
        server.start()

        assert sorted(await _ids(store)) == sorted(f"t{number}" for number in range(200))
        assert (await _commit(store, "t7")).seq <= 200


async def test_a_commit_outlasts_a_restart_within_its_time(server: RedisServer) -> None:
    """R2: a server that is back before the limit costs nothing but the wait."""
    async with _open(server.url, timeout_seconds=10.0) as store:
        server.kill()
        committing = asyncio.ensure_future(_commit(store, "t1"))
        await asyncio.to_thread(server.start)

        assert (await committing).seq == 1


async def test_a_frozen_server_costs_no_more_than_the_limit(server: RedisServer) -> None:
    """R3: calls end in time; a commit that went through after all is not there twice."""
    async with _open(server.url) as store:
        await _commit(store, "t1")
        server.signal(signal.SIGSTOP)
        assert isinstance(await _refused(store), redis.TimeoutError)
        server.signal(signal.SIGCONT)

        await _commit(store, "refused")

        assert await _ids(store) == ["t1", "refused"]


@pytest.mark.parametrize("lost", [1, 3])
async def test_a_lost_reply_does_not_double_a_turn(server: RedisServer, lost: int) -> None:
    """R4: the commit was done and nobody heard; sending it again changes nothing."""
    async with TcpProxy(server.port) as proxy, _open(f"redis://127.0.0.1:{proxy.port}") as store:
        await _commit(store, "t1")
        proxy.lose_replies = lost

        assert (await _commit(store, "t2")).seq == 2

        assert proxy.lose_replies == 0
        assert await _ids(store) == ["t1", "t2"]


async def test_a_demoted_server_is_waited_for(server: RedisServer, tmp_path: Path) -> None:
    """R6: READONLY passes when the address leads to a master again; meanwhile it is an error in time."""
    master = RedisServer(tmp_path / "other")
    try:
        async with _open(server.url) as store:
            await _commit(store, "t1")
            server.command("REPLICAOF", "127.0.0.1", master.port)
            with pytest.raises(MemoryUnavailableError) as failed:
                await _commit(store, "t2")
            assert isinstance(failed.value.__cause__, redis.ReadOnlyError)
            committing = asyncio.ensure_future(_commit(store, "t2"))
            await asyncio.sleep(0)
            server.command("REPLICAOF", "NO", "ONE")

            assert (await committing).turn.turn_id == "t2"
    finally:
        master.kill()


async def test_a_full_server_refuses_and_keeps_what_it_has(server: RedisServer) -> None:
    """R7: with noeviction a commit fails whole, reads and erasing go on."""
    async with _open(server.url) as store:
        await _commit(store, "t1")
        server.command("CONFIG", "SET", "maxmemory", 1)
        began = SystemClock().monotonic()
        with pytest.raises(MemoryUnavailableError) as failed:
            await _commit(store, "t2")
        assert isinstance(failed.value.__cause__, redis.OutOfMemoryError)
        assert SystemClock().monotonic() - began < 0.5  # what waiting does not mend is not waited for
        assert await _ids(store) == ["t1"]
        assert await store.erase(HERE.user_id) == 1
        server.command("CONFIG", "SET", "maxmemory", 0)

        assert (await _commit(store, "t2")).seq == 1


def _block(server: RedisServer) -> threading.Thread:
    """Keep the server busy with a script that does not end by itself."""

    def run() -> None:
        with pytest.raises(redis.RedisError), server.client() as client:
            client.execute_command("EVAL", "while true do end", 0)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


async def test_a_busy_server_is_waited_for(server: RedisServer) -> None:
    """R8: BUSY passes when the script that holds the server up has ended."""
    server.command("CONFIG", "SET", "busy-reply-threshold", 10)
    async with _open(server.url, timeout_seconds=5.0) as store:
        await store.ping()
        thread = _block(server)
        committing = asyncio.ensure_future(_commit(store, "t1"))
        while True:
            await asyncio.sleep(0.05)
            try:
                await asyncio.to_thread(server.command, "SCRIPT", "KILL")
                break
            except redis.ResponseError:
                continue

        assert (await committing).seq == 1
        await asyncio.to_thread(thread.join)


async def test_a_loading_server_is_waited_for() -> None:
    """R8: LOADING passes when the server has read its files."""
    replies = [b"-LOADING Redis is loading the dataset in memory\r\n"] * 3
    handlers: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.append(asyncio.current_task())
        while await reader.read(65_536):
            writer.write(replies.pop() if replies else b"+PONG\r\n")
        writer.close()
        await writer.wait_closed()

    loading = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with _open(f"redis://127.0.0.1:{loading.sockets[0].getsockname()[1]}"):
        assert replies == []
    loading.close()
    await loading.wait_closed()
    await asyncio.gather(*filter(None, handlers))


async def test_scripts_that_were_flushed_are_sent_again(server: RedisServer) -> None:
    """R9: NOSCRIPT is no failure, for one call or for many in one exchange."""
    async with _open(server.url) as store:
        await _commit(store, "t1")
        server.command("SCRIPT", "FLUSH")
        assert (await _commit(store, "t2")).seq == 2
        server.command("SCRIPT", "FLUSH")
        assert len(await store.sessions("user")) == 1
        server.command("SCRIPT", "FLUSH")
        assert await store.erase("user") == 2


async def test_a_slow_server_is_slow_and_no_more(server: RedisServer) -> None:
    """R10: at 300 ms an answer every call succeeds, the first one on a new connection too."""
    async with TcpProxy(server.port) as proxy:
        proxy.delay_seconds = 0.3
        async with _open(f"redis://127.0.0.1:{proxy.port}") as store:
            await asyncio.gather(*(_commit(store, f"t{number}") for number in range(5)))

            assert len(await _ids(store)) == 5


async def test_a_server_without_free_connections_is_an_error_in_time(server: RedisServer) -> None:
    """R11: maxclients is reached by others; when they leave, calls succeed again."""
    server.command("CONFIG", "SET", "maxclients", 1)
    with server.client() as other:
        other.ping()
        async with _open(server.url) as store:
            await _refused(store)
            other.close()

            assert (await _commit(store, "t1")).seq == 1


async def test_more_calls_than_connections_take_turns(server: RedisServer) -> None:
    """R11: calls wait for a connection instead of failing or opening more."""
    async with _open(server.url, max_connections=2, timeout_seconds=5.0) as store:
        await asyncio.gather(*(_commit(store, f"t{number}") for number in range(100)))

        assert len(await _ids(store)) == 100
        with server.client() as client:
            assert client.info("clients")["connected_clients"] <= 3


async def test_a_key_of_the_wrong_type_is_one_conversations_trouble(server: RedisServer) -> None:
    """R12: that conversation cannot be used, which says nothing of the store; erasing it mends it."""
    async with _open(server.url) as store:
        server.command("SET", conversation_keys(HERE)[1], "not a hash", "EX", 60)

        for call in (store.read(HERE, last_turns=1), _commit(store, "t1")):
            with pytest.raises(RecordUnusableError):
                await call
        assert (await store.commit(ConversationId("other"), Turn("t", "q", "a", 0.0), base_seq=0)).seq == 1


async def test_a_turn_that_is_not_ours_is_one_conversations_trouble(server: RedisServer) -> None:
    """R12: what cannot be read as a turn is an error and not a wrong answer."""
    async with _open(server.url) as store:
        await _commit(store, "t1")
        for damaged in (b"{", b"{}", b'{"seq":1}', b"[]"):
            server.command("LSET", conversation_keys(HERE)[0], 0, damaged)
            with pytest.raises(RecordUnusableError):
                await store.read(HERE, last_turns=1)


def _allow(server: RedisServer, *rules: str) -> str:
    server.command("ACL", "SETUSER", "service", "reset", "on", ">secret", *rules)
    return f"redis://service:secret@127.0.0.1:{server.port}"


RIGHTS = ("~agsv:1:*", "+@read", "+@write", "+eval", "+evalsha", "+ping", "+info", "+time", "+wait")
"""The access rule of docs/memory.md."""


async def test_revoked_rights_are_an_error_at_once(server: RedisServer) -> None:
    """R13: a user that is switched off, or may no longer write; when it is mended calls succeed again."""
    url = _allow(server, *RIGHTS)
    async with _open(url) as store:
        await _commit(store, "t1")
        server.command("ACL", "SETUSER", "service", "off")
        server.command("CLIENT", "KILL", "USER", "service")
        assert isinstance(await _refused(store), redis.AuthenticationError)
        _allow(server, *RIGHTS, "-@write")
        began = SystemClock().monotonic()
        with pytest.raises(MemoryUnavailableError):
            await _commit(store, "t2")
        assert SystemClock().monotonic() - began < 0.5
        _allow(server, *RIGHTS)

        assert (await _commit(store, "t2")).seq == 2


async def test_a_wrong_password_fails_the_start(server: RedisServer) -> None:
    """R13: waiting does not mend it, so the operator hears at once; the caller hears no address."""
    _allow(server, *RIGHTS)
    options = RedisOptions(f"redis://service:wrong@127.0.0.1:{server.port}")
    store = RedisStore(StoreOptions(), options, clock=SystemClock())

    with pytest.raises(MemoryUnavailableError) as refused:
        await store.start()

    assert isinstance(refused.value.__cause__, redis.AuthenticationError)
    assert "127.0.0.1" not in refused.value.detail
    assert repr(store) == "<RedisStore <RedisConnection single closed, 0 in flight>>"


async def test_a_conversation_that_expires_in_mid_turn_begins_anew(server: RedisServer) -> None:
    """R14: the answer given on sight of the old turns is turn 1, and says what it had seen."""
    async with _open(server.url) as store:
        await _commit(store, "t1")
        seen = await store.read(HERE, last_turns=1)
        server.pass_time(48 * 3600.0)

        stored = await store.commit(HERE, Turn("t2", "q", "a", 0.0), base_seq=seen.last_seq)

        assert (stored.seq, stored.base_seq) == (1, 1)
        assert await _ids(store) == ["t2"]


async def test_callers_who_leave_at_random_break_nothing(server: RedisServer) -> None:
    """Cancelled at any await: each turn is whole or absent, no answer is mixed up, no connection leaks."""
    chance = random.Random(4)
    async with _open(server.url, max_connections=8, timeout_seconds=5.0) as store:

        async def one(number: int) -> str | None:
            turn = Turn(f"t{number}", f"question {number}", "answer", 0.5)
            call = asyncio.ensure_future(store.commit(HERE, turn, base_seq=0))
            if chance.random() < 0.4:
                await asyncio.sleep(chance.random() * 0.004)
                call.cancel()
            await asyncio.wait({call})
            if call.cancelled():
                return None
            assert call.result().turn == turn
            return turn.turn_id

        for start in range(0, 800, 40):
            acknowledged = await asyncio.gather(*(one(number) for number in range(start, start + 40)))
            ids = await _ids(store)
            assert len(set(ids)) == len(ids)
            assert {turn_id for turn_id in acknowledged if turn_id} <= set(ids)
        with server.client() as client:
            assert client.info("clients")["connected_clients"] <= 9
