"""What is worth a log line of what happens. Never the prompt, never the answer."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Any, TypeVar

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

if TYPE_CHECKING:
    from collections.abc import Callable

_E = TypeVar("_E", bound=Event)

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
        tell = _BY_KIND.get(type(event))
        if tell is not None:
            tell(event)


def _tell_query(event: QueryFinished) -> None:
    _write(_query, _query_level(event.code), "query", event, _query_facts)


def _tell_lm_call(event: LMCallFinished) -> None:
    level = logging.DEBUG if event.outcome in _OWN_DOING else logging.WARNING
    _write(_lm, level, "language model call", event, _lm_call_facts)


def _tell_store_operation(event: StoreOperationFinished) -> None:
    if event.outcome != "success":
        _write(_memory, logging.WARNING, "memory operation failed", event, _store_operation_facts)


def _tell_breaker(event: BreakerMoved) -> None:
    _write(_breaker, logging.WARNING, "circuit breaker moved", event, _breaker_facts)


def _tell_request(event: HttpRequestFinished) -> None:
    _write(_http, _http_level(event), "request", event, _http_facts)


_BY_KIND: dict[type[Event], Callable[[Any], None]] = {
    QueryFinished: _tell_query,
    LMCallFinished: _tell_lm_call,
    StoreOperationFinished: _tell_store_operation,
    BreakerMoved: _tell_breaker,
    HttpRequestFinished: _tell_request,
}


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


def _write(
    logger: logging.Logger, level: int, text: str, event: _E, facts_of: Callable[[_E], dict[str, Any]]
) -> None:
    """Write a line with the facts of ``event``, which are put together only for one that is written."""
    if logger.isEnabledFor(level):
        facts = {"request_id": event.request_id, **facts_of(event)}
        logger.handle(_Line(logger.name, level, text, facts))


def _lm_call_facts(event: LMCallFinished) -> dict[str, Any]:
    return {"model": event.model, "attempt": event.attempt, **_end(event)}


def _store_operation_facts(event: StoreOperationFinished) -> dict[str, Any]:
    return {"backend": event.backend, "operation": event.operation, **_end(event)}


def _breaker_facts(event: BreakerMoved) -> dict[str, Any]:
    return {"upstream": event.upstream, "before": event.before, "after": event.after}


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
        "program_version": event.version,
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
