"""The composition root's part for conversations: the store that the settings name."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from agent_service.config import options as options_of
from agent_service.core.breaker import Breaker, BreakerState
from agent_service.core.observer import BreakerMoved, Observer
from agent_service.memory.observed import ObservedStore, breaker_options
from agent_service.memory.sqlite import SqliteOptions, SqliteStore

if TYPE_CHECKING:
    from agent_service.config import Settings
    from agent_service.core.clock import Clock
    from agent_service.memory.base import ConversationStore


def build_store(settings: Settings, *, clock: Clock, observer: Observer) -> ConversationStore:
    """Redis when the settings name one, else the SQLite file; its breaker is reported like a model's."""
    redis_options = options_of.redis_options(settings)
    store: ConversationStore
    if redis_options is not None:
        from agent_service.memory.redis import RedisStore  # noqa: PLC0415 - its client takes long to import

        store = RedisStore(options_of.store_options(settings), redis_options, clock=clock)
    else:
        store = SqliteStore(
            options_of.store_options(settings), SqliteOptions(settings.memory_path), clock=clock
        )

    def moved(before: BreakerState, after: BreakerState) -> None:
        observer.observe(BreakerMoved("", f"memory:{store.backend}", before.value, after.value))

    return ObservedStore(
        store,
        observer=observer,
        clock=clock,
        breaker=Breaker(
            breaker_options(settings.memory_timeout_secs), clock=clock, random=random.Random(), on_move=moved
        ),
        timeout_seconds=settings.memory_timeout_secs,
    )
