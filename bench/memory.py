"""What one read and one append cost on each backend, and how many commits it takes in a second.

    python bench/memory.py [redis://...]

Without an address, a Redis with an append-only file (everysec) and a cluster of three are started here.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

from agent_service.core.clock import SystemClock
from agent_service.core.messages import ConversationId, Turn
from agent_service.memory.base import StoreOptions
from agent_service.memory.in_memory import InMemoryStore
from agent_service.memory.redis import RedisStore
from agent_service.memory.redis_options import RedisOptions
from agent_service.memory.sqlite import SqliteOptions, SqliteStore
from tests.redis_servers import RedisClusterServers, RedisServer

if TYPE_CHECKING:
    from agent_service.memory.base import ConversationStore

QUESTION, ANSWER = "q" * 200, "a" * 1_000
PAIRS = 2_000
COMMITS = 10_000
TASKS = 64


async def _pair_seconds(store: ConversationStore) -> list[float]:
    """The time of each of ``PAIRS``: the last three turns are read, one is added."""
    times = []
    for number in range(PAIRS):
        conversation = ConversationId(f"user {number % 50}")
        began = time.perf_counter()
        window = await store.read(conversation, last_turns=3)
        turn = Turn(f"pair {number}", QUESTION, ANSWER, time.time())
        await store.commit(conversation, turn, base_seq=window.last_seq)
        times.append(time.perf_counter() - began)
    return times


async def _commits_per_second(store: ConversationStore) -> float:
    """From ``TASKS`` tasks at once."""

    async def commit_each(task: int) -> None:
        for number in range(task, COMMITS, TASKS):
            turn = Turn(f"commit {number}", QUESTION, ANSWER, time.time())
            await store.commit(ConversationId(f"user {task}"), turn, base_seq=0)

    began = time.perf_counter()
    await asyncio.gather(*(commit_each(task) for task in range(TASKS)))
    return COMMITS / (time.perf_counter() - began)


async def _measure(name: str, store: ConversationStore) -> None:
    await store.start()
    times = await _pair_seconds(store)
    rate = await _commits_per_second(store)
    await store.close()
    p50, p99 = statistics.median(times), statistics.quantiles(times, n=100)[98]
    print(f"| {name} | {p50 * 1e3:.2f} ms | {p99 * 1e3:.2f} ms | {rate:,.0f} |", flush=True)


def main(addresses: list[str]) -> None:
    """Print one row for each backend."""
    options, clock = StoreOptions(), SystemClock()
    print("| backend | read + append, p50 | p99 | commits/s, 64 tasks |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_measure("in memory", InMemoryStore(options, clock=clock)))
        file = SqliteOptions(Path(folder) / "store.db")
        asyncio.run(_measure("SQLite", SqliteStore(options, file, clock=clock)))
        if addresses:
            for url in addresses:
                asyncio.run(_measure("Redis", RedisStore(options, RedisOptions(url), clock=clock)))
            return
        single, cluster = RedisServer(Path(folder) / "redis"), RedisClusterServers(Path(folder) / "cluster")
        try:
            for name, url in (("Redis", single.url), ("Redis Cluster", cluster.url)):
                asyncio.run(_measure(name, RedisStore(options, RedisOptions(url, 10.0), clock=clock)))
        finally:
            single.kill()
            cluster.kill()


main(sys.argv[1:])
