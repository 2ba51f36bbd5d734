"""What becomes of the events that belong to no run."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from agent_service.core.messages import ConversationId, Query
from agent_service.core.observer import Event, HttpRequestFinished, LoopBlocked, StoreOperationFinished
from agent_service.core.trace import TRACE
from agent_service.telemetry.tracing.tracing import Tracing
from agent_service.testing import ScriptedProgram
from tests.telemetry.tracing.conftest import Traced, id_of, parent_of

ROUTE = "/api/v1/users/{user_id}/history"


async def served(traced: Traced, *events: Event) -> None:
    """A request within which ``events`` happen."""
    tracing = Tracing(traced.spans)

    async def app(*_: Any) -> None:
        for event in events:
            tracing.observe(event)

    scope = {"type": "http", "path": "/api/v1/users/ada/history", "scheme": "https", "headers": []}
    await tracing.app(app)(scope, _nothing, _nothing)


async def _nothing(*_: Any) -> Any:
    return {}


def answered(status: int, error: str | None = None, *, method: str = "GET", route: str = ROUTE) -> Event:
    """The end of a request."""
    return HttpRequestFinished("r1", route, method, status, 0.1, error)


async def test_a_request_has_the_attributes_of_the_conventions(traced: Traced) -> None:
    """Its path is the route's template: the path itself names a user."""
    await served(traced, answered(200))
    assert traced.facts(f"GET {ROUTE}") == {
        "agent_service.request_id": "r1",
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": ROUTE,
        "url.path": ROUTE,
        "url.scheme": "https",
    }


@pytest.mark.parametrize(
    ("event", "name", "failed", "kind"),
    [
        (answered(502, "upstream_error"), f"GET {ROUTE}", True, "upstream_error"),
        (answered(500), f"GET {ROUTE}", True, "500"),
        (answered(200, "timeout"), f"GET {ROUTE}", True, "timeout"),
        (answered(404, "not_found", route="unmatched"), "GET", False, "not_found"),
        (answered(405, "method_not_allowed", method="OTHER"), f"HTTP {ROUTE}", False, "method_not_allowed"),
        (answered(499), f"GET {ROUTE}", False, None),
    ],
)
async def test_the_service_s_failures_are_failures(
    traced: Traced, event: Event, name: str, failed: bool, kind: str | None
) -> None:
    """A caller's mistakes are not, nor that it left; a stream that ended with an error is one."""
    await served(traced, event)
    span = traced.named(name)
    assert (span.status.status_code is StatusCode.ERROR) is failed
    assert traced.facts(name).get("error.type") == kind


@pytest.mark.parametrize(("outcome", "failure"), [("success", None), ("refused", "refused")])
async def test_operations_of_the_store_are_calls_to_a_database(
    traced: Traced, outcome: str, failure: str | None
) -> None:
    """Below what needed them."""
    await served(traced, StoreOperationFinished("", "sqlite", "commit", outcome, 0.01), answered(200))
    commit = traced.named("memory commit")
    assert commit.kind is SpanKind.CLIENT
    assert parent_of(commit) == id_of(traced.named(f"GET {ROUTE}"))
    facts = traced.facts("memory commit")
    assert facts.pop("error.type", None) == failure
    assert facts == {"db.system.name": "sqlite", "db.operation.name": "commit"}


def test_outside_of_a_request_nothing_is_told(traced: Traced) -> None:
    """Probes of the store and requests that are not traced leave no traces of one span."""
    tracing = Tracing(traced.spans)
    for event in (
        StoreOperationFinished("", "sqlite", "ping", "success", 0.01),
        answered(200),
        LoopBlocked("", 1.0),
    ):
        tracing.observe(event)
    assert traced.ended == ()


def test_a_run_begins_with_a_listener_of_its_own(traced: Traced) -> None:
    """Its agent is the current span from then on."""
    run = Tracing(traced.spans).begin(Query("r1", ConversationId("ada"), "Hi?"), ScriptedProgram().spec)
    trace = TRACE.get()
    assert trace is not None
    assert f"invoke_agent {trace.trace_id}" in repr(run)
