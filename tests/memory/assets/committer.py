"""Commits turns to one conversation from several tasks, and says on stdout which ones were acknowledged.

Arguments: the file, a name for the turn ids, how many turns.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from agent_service.core.clock import SystemClock
from agent_service.core.messages import ConversationId, Turn
from agent_service.memory.base import StoreOptions
from agent_service.memory.sqlite import SqliteOptions, SqliteStore

TASKS = 8


async def main(path: str, name: str, turns: int) -> None:
    """Commit ``turns`` turns, spread over the tasks."""
    store = SqliteStore(
        StoreOptions(max_turns=1_000_000),
        SqliteOptions(Path(path), busy_timeout_seconds=30),
        clock=SystemClock(),
    )
    await store.start()

    async def commit_each(numbers: range) -> None:
        for number in numbers:
            turn = Turn(f"{name}-{number}", f"question {number}", "answer " * 50, float(number))
            stored = await store.commit(ConversationId("user"), turn, base_seq=0)
            sys.stdout.write(f"{stored.turn.turn_id} {stored.seq}\n")
            sys.stdout.flush()

    await asyncio.gather(*(commit_each(range(task, turns, TASKS)) for task in range(TASKS)))
    await store.close()


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
