"""An answer by the names of the program's outputs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent_service.core.messages import Answer


def answer_body(answer: Answer) -> bytes:
    """A ``ProgramAnswer``. Not by orjson: an output may be a number of more than 64 bits."""
    query, usage = answer.query, answer.usage
    document = {
        "program": query.program,
        "outputs": answer.outputs,
        "user_id": query.conversation.user_id,
        "reasoning_steps": answer.reasoning_steps,
        "latency_ms": round(answer.latency_seconds * 1000),
        "request_id": query.request_id,
        "session_id": query.conversation.session_id,
        "model": answer.model,
        "tools_used": answer.tools_used,
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
            "lm_calls": usage.lm_calls,
        },
        "stored": answer.stored,
        "seq": answer.seq,
        "degraded": answer.degraded,
        "program_version": answer.program_version,
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
