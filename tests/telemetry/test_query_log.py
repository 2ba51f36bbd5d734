from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.core.messages import Usage
from agent_service.core.observer import (
    BreakerMoved,
    Event,
    HttpRequestFinished,
    LMCallFinished,
    QueryFinished,
    RunStarted,
    StoreOperationFinished,
)
from agent_service.telemetry.query_log import QueryLog

if TYPE_CHECKING:
    import io
    from collections.abc import Callable

    LogTo = Callable[..., io.StringIO]


def _query(code: str | None = None, cause: str = "") -> QueryFinished:
    return QueryFinished(
        request_id="r1",
        user_id="alice",
        session_id="s1",
        program="agent",
        model="a/model",
        code=code,
        reasoning_steps=2,
        tools_used=("clock", "calculator"),
        usage=Usage(10, 5, 3),
        latency_seconds=0.1234,
        stored=True,
        cause=cause,
    )


def _call(outcome: str) -> LMCallFinished:
    return LMCallFinished("r1", "a/model", 2, outcome, 0.5, Usage())


def _store(outcome: str) -> StoreOperationFinished:
    return StoreOperationFinished("r1", "sqlite", "commit", outcome, 1.0)


def _http(route: str, status: int) -> HttpRequestFinished:
    return HttpRequestFinished("r1", route, "GET", status, 0.01, "internal_error" if status == 500 else None)


def _logged(log_to: LogTo, event: Event) -> list[dict[str, Any]]:
    """The lines that ``event`` makes when everything is shown."""
    stream = log_to(levels={"": "debug"})
    QueryLog().observe(event)
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    for line in found:
        del line["timestamp"]
    return found


def test_a_query_is_one_line_with_who_what_and_how_long(log_to: LogTo) -> None:
    """All there is to know of a query except what was said."""
    assert _logged(log_to, _query()) == [
        {
            "level": "info",
            "logger": "agent_service.query",
            "event": "query",
            "request_id": "r1",
            "user_id": "alice",
            "session_id": "s1",
            "outcome": "success",
            "steps": 2,
            "tools": ["clock", "calculator"],
            "latency_ms": 123,
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "lm_calls": 3,
            "program": "agent",
            "program_version": "base",
            "model": "a/model",
            "stored": True,
        }
    ]


@pytest.mark.parametrize(
    ("code", "level"),
    [
        ("context_too_long", "warning"),
        ("upstream_error", "warning"),
        ("cancelled", "info"),
        ("pool_exhausted", "error"),
        ("internal_error", "error"),
        ("code_of_a_later_version", "error"),
    ],
)
def test_a_failure_is_as_loud_as_it_is_ours(log_to: LogTo, code: str, level: str) -> None:
    """Ours is an error, the caller's or the provider's a warning, a caller who left is neither."""
    (line,) = _logged(log_to, _query(code, cause="KeyError"))
    assert (line["level"], line["outcome"], line["code"], line["cause"]) == (
        level,
        "failure",
        code,
        "KeyError",
    )


@pytest.mark.parametrize(
    ("event", "level", "text"),
    [
        (_call("success"), "debug", "language model call"),
        (_call("refused"), "debug", "language model call"),
        (_call("timeout"), "warning", "language model call"),
        (_store("timeout"), "warning", "memory operation failed"),
        (BreakerMoved("", "a/model", "closed", "open"), "warning", "circuit breaker moved"),
        (_http("/api/v1/query", 200), "debug", "request"),
        (_http("/api/v1/query", 422), "debug", "request"),
        (_http("/api/v1/query", 500), "debug", "request"),
        (_http("/api/v1/users/{user_id}/history", 500), "warning", "request"),
        (_http("/api/v1/health", 503), "debug", "request"),
    ],
)
def test_what_goes_wrong_beneath_a_query_is_a_warning(
    log_to: LogTo, event: Event, level: str, text: str
) -> None:
    """What goes well is for debugging; a query has its own line, and an unhealthy probe is no news."""
    (line,) = _logged(log_to, event)
    assert (line["level"], line["event"]) == (level, text)


@pytest.mark.parametrize("event", [_store("success"), RunStarted("r1", "agent")])
def test_what_is_not_worth_a_line_makes_none(log_to: LogTo, event: Event) -> None:
    """Each query reads and commits; the query's own line tells of it."""
    assert _logged(log_to, event) == []


def test_facts_of_the_edges_are_on_their_lines(log_to: LogTo) -> None:
    """Enough to see what failed and for how long, without the query's line."""
    (line,) = _logged(log_to, _store("error"))
    assert line.items() >= {"backend": "sqlite", "operation": "commit", "latency_ms": 1000}.items()
    (line,) = _logged(log_to, _call("rate_limited"))
    assert line.items() >= {"model": "a/model", "attempt": 2, "outcome": "rate_limited"}.items()
    (line,) = _logged(log_to, BreakerMoved("", "a/model", "closed", "open"))
    assert line.items() >= {"upstream": "a/model", "before": "closed", "after": "open"}.items()
    (line,) = _logged(log_to, _http("/api/v1/query", 500))
    assert line.items() >= {"route": "/api/v1/query", "status": 500, "code": "internal_error"}.items()
