"""Strikes services and store again and again, and mends what it broke."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from typing import TYPE_CHECKING

import aiohttp

from bench.history_events import NotStored
from bench.history_reading import failed_commits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.history_events import History
    from bench.history_stage import Service, Store

_CALM_SECONDS = (0.2, 1.5)
_FREEZE_SECONDS = (0.5, 2.0)
_LOST_REPLIES = (1, 8)


class Nemesis:
    """One fault after the other, each kind once in every round, in an order by the seed.

    Args:
        seed: of order and times.
        services: their lives are ended one at a time, by turns.
        store: what they share.
        history: is told each fault, and of each life that ends what was not stored.
    """

    def __init__(self, *, seed: int, services: Sequence[Service], store: Store, history: History) -> None:
        self.kills = 0
        self._chance = random.Random(f"{seed}/nemesis")
        self._services = services
        self._store = store
        self._history = history
        self._victims = 0

    def __repr__(self) -> str:
        return f"<Nemesis after {self.kills} kills>"

    async def run(self, over: asyncio.Event) -> None:
        """Strike until it is over; what was broken last is mended first."""
        faults = [self._kill_service, self._kill_service, self._kill_store, self._freeze_store]
        if self._store.has_replies:
            faults.append(self._lose_replies)
        while True:
            self._chance.shuffle(faults)
            for fault in faults:
                await asyncio.sleep(self._chance.uniform(*_CALM_SECONDS))
                if over.is_set():
                    return
                self._history.faults.append((time.monotonic(), fault.__name__.strip("_").replace("_", " ")))
                await fault()

    async def count_not_stored(self) -> None:
        """Note what each life has said and counted so far."""
        async with aiohttp.ClientSession() as session:
            for service in self._services:
                said = len(service.not_stored_seconds)
                try:
                    counted = await failed_commits(session, service.url)
                except (aiohttp.ClientError, asyncio.TimeoutError, OSError):
                    continue
                self._history.not_stored.append(NotStored(said, counted))

    async def _kill_service(self) -> None:
        await self.count_not_stored()
        victim = self._services[self._victims % len(self._services)]
        self._victims += 1
        victim.kill()
        self.kills += 1
        await victim.start()

    async def _kill_store(self) -> None:
        await self.count_not_stored()
        self.kills += await self._store.kill_and_restart()

    async def _freeze_store(self) -> None:
        self._store.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(self._chance.uniform(*_FREEZE_SECONDS))
        finally:
            self._store.signal(signal.SIGCONT)

    async def _lose_replies(self) -> None:
        self._store.lose_replies(self._chance.randint(*_LOST_REPLIES))
