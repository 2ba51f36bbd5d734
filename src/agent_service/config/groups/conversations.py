"""Where conversations are kept, for how long, and what the program is shown of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel

from agent_service.config.values import CaseBlind, RedisUrl, setting


class ConversationSettings(BaseModel):
    """Where conversations are kept, for how long, and what the program is shown of them."""

    redis_url: RedisUrl | None = setting(
        "the Redis that keeps the conversations, instead of the SQLite file",
        allowed="a redis://, rediss:// or unix:// URL, or one with `+sentinel` or `+cluster`",
    )
    redis_wait_replicas: int = setting("replicas that confirm a turn; not for clusters", 0, low=0, high=10)
    memory_path: Path = setting(
        "the SQLite file of the conversations", Path("data/agent-service.db"), allowed="a path"
    )
    memory_ttl_hours: float = setting(
        "a conversation's life after its last turn", 24.0, low=0.001, high=87_600
    )
    memory_context_turns: int = setting("earlier turns shown to the agent", 3, low=0, high=1000)
    memory_context_tokens: int = setting(
        "how long they may be together, at four characters a token; longer ones are shortened",
        4000,
        low=100,
        high=10_000_000,
    )
    memory_max_turns: int = setting("turns kept of a conversation", 100, low=1, high=10_000)
    memory_on_failure: Annotated[Literal["refuse", "degrade"], CaseBlind] = setting(
        "what becomes of queries while the store fails: refused, or answered without memory",
        "refuse",
        allowed="`refuse` or `degrade`",
    )
    memory_timeout_secs: float = setting("time of one operation of the store", 1.0, low=0.05, high=60)
    conversation_policy: Annotated[Literal["serialize", "reject", "parallel"], CaseBlind] = setting(
        "a question while another of its conversation is answered: it waits, is refused, or goes ahead",
        "serialize",
        allowed="`serialize`, `reject` or `parallel`",
    )
    conversation_wait_secs: float = setting("how long it may wait", 5.0, low=0.1, high=600)
    stream_resume_secs: float = setting(
        "how long an event stream can be picked up again after its end; 0 keeps none",
        300.0,
        low=0,
        high=86_400,
    )
