"""How many queries are in flight, and what each may take and use."""

from __future__ import annotations

from pydantic import BaseModel

from agent_service.config.values import setting


class QuerySettings(BaseModel):
    """How many queries are in flight, and what each may take and use."""

    agent_pool_size: int = setting("queries in flight in one process", 64, low=1, high=10_000)
    agent_pool_queue: int = setting(
        "queries that may wait for a slot",
        low=0,
        high=100_000,
        factory=lambda data: data["agent_pool_size"],
        shown="`AGENT_POOL_SIZE`",
    )
    agent_pool_wait_secs: float = setting("how long each of them may wait", 2.0, low=0, high=600)
    agent_pool_per_user: int | None = setting("slots that one user may hold at once", low=1, high=10_000)
    agent_max_lm_calls: int | None = setting(
        "language model calls of one query, retries included", 100, low=1, high=100_000
    )
    agent_max_tokens: int | None = setting("tokens of one query", low=1, high=1_000_000_000)
    agent_request_timeout_secs: float = setting("the deadline of one query", 30.0, low=0.1, high=3600)
    agent_max_question_chars: int = setting("length of a question", 32_768, low=1, high=1_000_000)
