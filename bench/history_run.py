"""One run of the history checker: clients and nemesis at work, then every history is read."""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from bench.history_clients import Client
from bench.history_events import Conversation, History
from bench.history_nemesis import Nemesis
from bench.history_reading import all_turns
from bench.history_rules import violations
from bench.history_stage import stage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.history_events import Turn
    from bench.history_rules import Violation
    from bench.history_stage import Service

_SETTLING_SECONDS = 2.5
_PROGRESS_SECONDS = 0.2


@dataclass(frozen=True)
class Plan:
    """What to do: until ``turns`` are acknowledged and ``kills`` are survived, or ``max_seconds`` are over.

    Attributes:
        store: ``redis`` or ``sqlite``.
        fsync: when Redis flushes its append-only file: ``always`` or ``everysec``.
        policy: what becomes of two questions at once in one conversation (``CONVERSATION_POLICY``).
        keyed_share: of the questions, which have an Idempotency-Key.
    """

    store: str
    turns: int = 10_000
    kills: int = 20
    clients: int = 16
    conversations: int = 20
    seed: int = 1
    fsync: str = "everysec"
    policy: str = "parallel"
    keyed_share: float = 0.25
    max_seconds: float = 1200.0


@dataclass(frozen=True)
class Result:
    """What came of it; times are monotonic."""

    plan: Plan
    began_seconds: float
    ended_seconds: float
    kills: int
    history: History
    violations: Sequence[Violation]


async def carry_out(plan: Plan, *, on_progress: Callable[[int, int], object] = lambda *_: None) -> Result:
    """Start everything, carry out ``plan``, stop everything, judge.

    Args:
        plan: what to do.
        on_progress: is told turns and kills so far, several times a second.

    Raises:
        RuntimeError: a server did not start.
        aiohttp.ClientError: a history could not be read in the end.
    """
    history = History()
    conversations = _conversations(plan.conversations)
    with tempfile.TemporaryDirectory(prefix="history-") as name:
        async with stage(plan.store, fsync=plan.fsync, policy=plan.policy, folder=Path(name)) as (
            services,
            store,
        ):
            nemesis = Nemesis(seed=plan.seed, services=services, store=store, history=history)
            clients = _clients(plan, conversations, services, history)

            def enough() -> bool:
                on_progress(history.acked, nemesis.kills)
                return history.acked >= plan.turns and nemesis.kills >= plan.kills

            began_seconds = time.monotonic()
            await _trouble(clients, nemesis, max_seconds=plan.max_seconds, enough=enough)
            ended_seconds = time.monotonic()
            await asyncio.sleep(_SETTLING_SECONDS)
            await nemesis.count_not_stored()
            history.final = [await _final(service, conversations) for service in services]
    found = violations(history)
    return Result(plan, began_seconds, ended_seconds, nemesis.kills, history, found)


def _clients(
    plan: Plan, conversations: Sequence[Conversation], services: Sequence[Service], history: History
) -> list[Client]:
    return [
        Client(
            f"client {number}",
            seed=plan.seed,
            conversations=conversations,
            services=services,
            history=history,
            keyed_share=plan.keyed_share,
        )
        for number in range(plan.clients)
    ]


async def _trouble(
    clients: Sequence[Client], nemesis: Nemesis, *, max_seconds: float, enough: Callable[[], bool]
) -> None:
    """All clients at work while the nemesis strikes; returns when everything is mended."""
    over = asyncio.Event()
    work = asyncio.gather(nemesis.run(over), *(client.run(over) for client in clients))
    end_seconds = time.monotonic() + max_seconds
    while not (await asyncio.wait({work}, timeout=_PROGRESS_SECONDS))[0]:
        if enough() or time.monotonic() > end_seconds:
            break
    over.set()
    await work


def _conversations(count: int) -> list[Conversation]:
    """Two at a time that would be one if ids were joined by a colon."""
    return [
        Conversation(f"user-{number // 2}", "a:b")
        if number % 2
        else Conversation(f"user-{number // 2}:a", "b")
        for number in range(count)
    ]


async def _final(
    service: Service, conversations: Sequence[Conversation]
) -> dict[Conversation, tuple[Turn, ...]]:
    async with aiohttp.ClientSession() as session:
        return {
            conversation: await all_turns(session, service.url, conversation)
            for conversation in conversations
        }
