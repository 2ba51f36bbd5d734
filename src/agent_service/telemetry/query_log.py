"""What is worth a log line of what happens. Never the prompt, never the answer."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

from agent_service.core.errors import CancelledByCallerError, Fault
from agent_service.core.observer import (
    BreakerMoved,
    Event,
    HttpRequestFinished,
    LMCallFinished,
    QueryFinished,
    StoreOperationFinished,
)
from agent_service.telemetry.error_codes import FAULTS

_query = logging.getLogger("agent_service.query")
_http = logging.getLogger("agent_service.http")
_lm = logging.getLogger("agent_service.lm")
_memory = logging.getLogger("agent_service.memory")
_breaker = logging.getLogger("agent_service.breaker")

_TOLD_ELSEWHERE = ("/query", "/health", "/live", "/ready", "/metrics")
"""Routes whose failures are no news here: a query has its own line, an unhealthy probe was asked for."""

_OWN_DOING = ("success", "refused", "stopped")
"""Outcomes of an LM call that say nothing against the upstream."""

_SERVER_ERROR = 500


class QueryLog:
    """Writes one line for each query that ended, and one for each thing that went wrong beneath it."""

    def __repr__(self) -> str:
        return "<QueryLog>"

    def observe(self, event: Event) -> None:
        """Write a line for ``event`` when it is worth one."""
        match event:
            case QueryFinished():
                _write(_query, _query_level(event.code), "query", event, **_query_facts(event))
            case LMCallFinished():
                level = logging.DEBUG if event.outcome in _OWN_DOING else logging.WARNING
                facts = {"model": event.model, "attempt": event.attempt}
                _write(_lm, level, "language model call", event, **facts, **_end(event))
            case StoreOperationFinished(outcome=outcome) if outcome != "success":
                facts = {"backend": event.backend, "operation": event.operation}
                _write(_memory, logging.WARNING, "memory operation failed", event, **facts, **_end(event))
            case BreakerMoved():
                facts = {"upstream": event.upstream, "before": event.before, "after": event.after}
                _write(_breaker, logging.WARNING, "circuit breaker moved", event, **facts)
            case HttpRequestFinished():
                _write(_http, _http_level(event), "request", event, **_http_facts(event))
            case _:
                pass


class _Line(logging.LogRecord):
    """A record that does not look for the line of code that wrote it, which is most of its cost."""

    args = exc_info = exc_text = stack_info = None
    pathname = filename = module = funcName = ""  # noqa: N815 - as the standard library has it
    lineno = relativeCreated = 0  # noqa: N815 - the same
    thread = threadName = processName = None  # noqa: N815 - the same

    def __init__(self, logger: str, level: int, text: str, facts: dict[str, Any]) -> None:
        self.name = logger
        self.msg = text
        self.levelno = level
        self.levelname = logging.getLevelName(level)
        self.created = time.time()
        self.msecs = self.created % 1 * 1000
        self.process = os.getpid()
        vars(self).update(facts)


def _write(logger: logging.Logger, level: int, text: str, event: Event, **facts: Any) -> None:
    if logger.isEnabledFor(level):
        logger.handle(_Line(logger.name, level, text, {"request_id": event.request_id, **facts}))


def _end(event: LMCallFinished | StoreOperationFinished) -> dict[str, Any]:
    return {"outcome": event.outcome, "latency_ms": round(event.latency_seconds * 1000)}


def _query_facts(event: QueryFinished) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "user_id": event.user_id,
        "session_id": event.session_id,
        "outcome": "success" if event.code is None else "failure",
        "steps": event.reasoning_steps,
        "tools": list(event.tools_used),
        "latency_ms": round(event.latency_seconds * 1000),
        "prompt_tokens": event.usage.prompt_tokens,
        "completion_tokens": event.usage.completion_tokens,
        "lm_calls": event.usage.lm_calls,
        "program": event.program,
        "model": event.model,
        "stored": event.stored,
    }
    if event.code is not None:
        facts |= {"code": event.code, "cause": event.cause}
    return facts


def _query_level(code: str | None) -> int:
    if code is None or code == CancelledByCallerError.code:
        return logging.INFO
    return logging.ERROR if FAULTS.get(code, Fault.SERVICE) is Fault.SERVICE else logging.WARNING


def _http_facts(event: HttpRequestFinished) -> dict[str, Any]:
    return {
        "route": event.route,
        "method": event.method,
        "status": event.status,
        "code": event.error,
        "latency_ms": round(event.latency_seconds * 1000),
    }


def _http_level(event: HttpRequestFinished) -> int:
    failed = event.status >= _SERVER_ERROR and not event.route.endswith(_TOLD_ELSEWHERE)
    return logging.WARNING if failed else logging.DEBUG
