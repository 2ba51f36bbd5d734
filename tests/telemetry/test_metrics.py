from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent_service.core.messages import Usage
from agent_service.core.observer import (
    BreakerMoved,
    CredentialsRead,
    Event,
    FallbackTaken,
    HttpRequestFinished,
    LimitMet,
    LimitNotChecked,
    LMCallFinished,
    LoopBlocked,
    LoopLagMeasured,
    QueryFinished,
    ReleaseRefused,
    ReleaseRolledBack,
    RunStarted,
    StoreOperationFinished,
    StreamCutOff,
    ToolFinished,
    TraceSpansLost,
)
from agent_service.programs.base import VersionShare
from agent_service.telemetry.error_codes import FAULTS
from agent_service.telemetry.metrics import Metrics
from tests.traces import FakeTrace, within

ROOT = Path(__file__).parents[2]

LABELS = {
    "agent_requests_total": {"status"},
    "agent_latency_seconds": set(),
    "agent_pool_size": set(),
    "agent_pool_in_use": set(),
    "agent_pool_waiting": set(),
    "circuit_breaker_state": set(),
    "circuit_breaker_openings_total": {"upstream"},
    "agent_errors_total": {"error"},
    "agent_reasoning_steps": set(),
    "agent_lm_calls_total": {"model", "outcome"},
    "agent_lm_latency_seconds": {"model"},
    "agent_lm_tokens_total": {"model", "kind"},
    "agent_tool_calls_total": {"tool", "outcome"},
    "agent_tool_latency_seconds": {"tool"},
    "agent_memory_operations_total": {"backend", "operation", "outcome"},
    "agent_memory_latency_seconds": {"backend", "operation"},
    "agent_http_requests_total": {"route", "method", "code"},
    "agent_streams_cut_off_total": set(),
    "agent_rate_limit_refusals_total": {"limit"},
    "agent_rate_limit_errors_total": set(),
    "agent_credentials_stale": {"source"},
    "agent_event_loop_lag_seconds": set(),
    "agent_event_loop_blocked_total": set(),
    "agent_pool_abandoned": set(),
    "agent_workers": set(),
    "agent_worker_crashes_total": set(),
    "agent_trace_spans_lost_total": set(),
    "agent_fallbacks_total": {"model"},
    "agent_program_queries_total": {"program", "version", "outcome"},
    "agent_program_version_share": {"program", "version"},
    "agent_release_rollbacks_total": {"program"},
    "agent_release_refusals_total": {"program"},
    "agent_lm_concurrency_limit": {"model"},
    "agent_lm_in_flight": {"model"},
    "agent_lm_waiting": {"model"},
    "agent_lm_retry_budget": {"model"},
    "agent_build_info": {"version", "python", "dspy"},
}
"""The metrics of the public contract."""


@dataclass(frozen=True)
class Numbers:
    """An upstream's numbers, in the shape that the gauges read."""

    model: str
    limit: float = 8.0
    in_flight: int = 0
    waiting: int = 0
    retry_budget: float = 10.0


class Service:
    """What the gauges read, to be set by a test."""

    def __init__(self) -> None:
        self.in_use = 0
        self.waiting = 0
        self.abandoned = 0
        self.breaker = "closed"
        self.upstreams = [Numbers("a/model")]

    def metrics(self) -> Metrics:
        """Metrics that read this."""
        return Metrics(
            pool_size=lambda: 64,
            pool_in_use=lambda: self.in_use,
            pool_waiting=lambda: self.waiting,
            pool_abandoned=lambda: self.abandoned,
            breaker_state=lambda: self.breaker,
            upstreams=lambda: self.upstreams,
            versions=lambda: [VersionShare("agent", "base", 1.0)],
            version="1.2.3",
            dspy_version="3.4.1",
            models=["a/model"],
            tools=["clock"],
        )


def _query(code: str | None = None, *, steps: int = 2, seconds: float = 0.3) -> QueryFinished:
    return QueryFinished(
        request_id="r",
        user_id="alice",
        session_id="default",
        program="agent",
        model="a/model",
        code=code,
        reasoning_steps=steps,
        tools_used=("clock",) * steps,
        usage=Usage(10, 5, 1),
        latency_seconds=seconds,
        stored=True,
    )


def _answered(error: str | None = None, status: int = 200) -> HttpRequestFinished:
    return HttpRequestFinished("r", "/api/v1/query", "POST", status, 0.1, error)


def _everything() -> list[Event]:
    return [
        RunStarted("r", "agent"),
        _query(),
        LMCallFinished("r", "a/model", 1, "success", 0.2, Usage(10, 5, 1)),
        ToolFinished("r", "clock", 1, "success", 0.01),
        StoreOperationFinished("r", "sqlite", "commit", "success", 0.002),
        _answered(),
        LoopLagMeasured("", 0.004),
        LoopBlocked("", 1.2),
        StreamCutOff("r"),
        CredentialsRead("", "keys", "success"),
        TraceSpansLost("", 3),
        LimitMet("r", "key"),
        LimitNotChecked("r"),
        FallbackTaken("r", "a/model", "b/model"),
        BreakerMoved("", "a/model", "closed", "open"),
        ReleaseRolledBack("", "agent", "v1", "base"),
        ReleaseRefused("", "agent", "v2"),
    ]


def _samples(metrics: Metrics) -> dict[str, float]:
    """Every sample by its name with labels."""
    text, _ = metrics.expose()
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def _exposed_labels(metrics: Metrics) -> dict[str, set[str]]:
    text, _ = metrics.expose()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text.decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        for sample in family.samples:
            found.setdefault(name, set()).update(sample.labels.keys() - {"le"})
    return {name: labels for name, labels in found.items() if not name.startswith("process_")}


def _told(*events: Event) -> dict[str, float]:
    metrics = Service().metrics()
    for event in events:
        metrics.observe(event)
    return _samples(metrics)


def test_names_and_labels_are_those_of_the_contract() -> None:
    """Names and labels are public: no more, no fewer, none other."""
    metrics = Service().metrics()
    for event in _everything():
        metrics.observe(event)
    assert _exposed_labels(metrics) == LABELS
    assert set(metrics.names()) == set(LABELS)


def test_series_of_closed_label_sets_are_there_before_the_first_event() -> None:
    """A rate over a series that appears with its first event misses that event."""
    at_start = _told()
    assert at_start["agent_requests_total{status=success}"] == 0
    assert at_start["agent_requests_total{status=failure}"] == 0
    assert all(at_start[f"agent_errors_total{{error={code}}}"] == 0 for code in FAULTS)
    assert at_start["agent_lm_calls_total{model=a/model,outcome=timeout}"] == 0
    assert at_start["agent_lm_tokens_total{kind=completion,model=a/model}"] == 0
    assert at_start["agent_lm_latency_seconds_count{model=a/model}"] == 0
    assert at_start["agent_fallbacks_total{model=a/model}"] == 0
    assert at_start["agent_event_loop_blocked_total"] == 0
    assert at_start["agent_program_queries_total{outcome=failure,program=agent,version=base}"] == 0
    assert at_start["agent_release_rollbacks_total{program=agent}"] == 0
    assert at_start["agent_release_refusals_total{program=agent}"] == 0
    assert at_start["agent_tool_calls_total{outcome=error,tool=clock}"] == 0
    assert at_start["agent_tool_latency_seconds_count{tool=clock}"] == 0


def test_queries_are_counted_by_their_end() -> None:
    """Success and failure are told apart; latency counts all queries, steps those that succeeded."""
    after = _told(_query(steps=3), _query("timeout", seconds=30.0), _query("pool_exhausted", steps=0))
    assert after["agent_requests_total{status=success}"] == 1
    assert after["agent_requests_total{status=failure}"] == 2
    assert after["agent_latency_seconds_count"] == 3
    assert after["agent_latency_seconds_sum"] == pytest.approx(30.6)
    assert after["agent_reasoning_steps_count"] == 1
    assert after["agent_reasoning_steps_sum"] == 3


def test_a_failed_query_that_was_answered_is_one_error() -> None:
    """The query's end and the HTTP answer are two events of one failure."""
    after = _told(_query("timeout"), _answered("timeout", 504))
    assert after["agent_errors_total{error=timeout}"] == 1


def test_a_problem_without_a_query_is_an_error_too() -> None:
    """Requests that were refused before they became a query are told apart by code as well."""
    after = _told(_answered("invalid_request", 422), _answered("not_found", 404), _answered())
    assert after["agent_errors_total{error=invalid_request}"] == 1
    assert after["agent_errors_total{error=not_found}"] == 1
    assert sum(value for name, value in after.items() if name.startswith("agent_errors_total")) == 2


def test_a_query_whose_caller_left_is_one_error() -> None:
    """Nobody was answered, so the query's end counts, and whatever HTTP says of it does not."""
    after = _told(_query("cancelled"), _answered("cancelled", 499))
    assert after["agent_errors_total{error=cancelled}"] == 1
    assert after["agent_requests_total{status=failure}"] == 1


def test_language_model_calls_are_counted_with_time_and_tokens() -> None:
    """Every attempt counts, by model and outcome."""
    after = _told(
        LMCallFinished("r", "a/model", 1, "timeout", 25.0, Usage()),
        LMCallFinished("r", "a/model", 2, "success", 0.2, Usage(10, 5, 1)),
    )
    assert after["agent_lm_calls_total{model=a/model,outcome=timeout}"] == 1
    assert after["agent_lm_calls_total{model=a/model,outcome=success}"] == 1
    assert after["agent_lm_latency_seconds_sum{model=a/model}"] == pytest.approx(25.2)
    assert after["agent_lm_tokens_total{kind=prompt,model=a/model}"] == 10
    assert after["agent_lm_tokens_total{kind=completion,model=a/model}"] == 5


def test_fallbacks_count_for_the_model_that_failed() -> None:
    """Which model makes others step in is the question; who stepped in is told by its calls."""
    after = _told(FallbackTaken("r", "a/model", "b/model"), FallbackTaken("r", "b/model", "c/model"))
    assert after["agent_fallbacks_total{model=a/model}"] == 1
    assert after["agent_fallbacks_total{model=b/model}"] == 1
    assert "agent_fallbacks_total{model=c/model}" not in after


def test_openings_of_a_breaker_are_counted_from_zero() -> None:
    """Scrapes may miss an opening that is short; its count they do not. Other moves are none."""
    assert _told()["circuit_breaker_openings_total{upstream=a/model}"] == 0
    moves = [("closed", "open"), ("open", "half_open"), ("half_open", "open"), ("half_open", "closed")]
    after = _told(*(BreakerMoved("", "a/model", before, after) for before, after in moves))
    assert after["circuit_breaker_openings_total{upstream=a/model}"] == 2


def test_tools_memory_http_and_the_loop_are_counted() -> None:
    """Each event of an edge has its counter, and its histogram where it takes time."""
    after = _told(*_everything())
    assert after["agent_tool_calls_total{outcome=success,tool=clock}"] == 1
    assert after["agent_tool_latency_seconds_count{tool=clock}"] == 1
    operation = "backend=sqlite,operation=commit"
    assert after[f"agent_memory_operations_total{{{operation},outcome=success}}"] == 1
    assert after[f"agent_memory_latency_seconds_count{{{operation}}}"] == 1
    assert after["agent_http_requests_total{code=200,method=POST,route=/api/v1/query}"] == 1
    assert after["agent_event_loop_lag_seconds"] == pytest.approx(0.004)
    assert after["agent_event_loop_blocked_total"] == 1


@pytest.mark.parametrize(("state", "number"), [("closed", 0), ("open", 1), ("half_open", 2)])
def test_pool_and_breaker_are_read_when_they_are_scraped(state: str, number: int) -> None:
    """A gauge shows what is, not what was at the last event."""
    service = Service()
    metrics = service.metrics()
    _samples(metrics)
    service.in_use, service.waiting, service.abandoned, service.breaker = 5, 2, 1, state
    now = _samples(metrics)
    assert now["agent_pool_abandoned"] == 1
    assert (now["agent_pool_size"], now["agent_pool_in_use"], now["agent_pool_waiting"]) == (64, 5, 2)
    assert now["circuit_breaker_state"] == number


def test_two_services_in_one_process_do_not_share_counts() -> None:
    """Each has a registry of its own, none the library's global one."""
    first, second = Service().metrics(), Service().metrics()
    first.observe(_query())
    assert _samples(second)["agent_requests_total{status=success}"] == 0


def test_exposition_has_no_created_series() -> None:
    """They double the size of each scrape and answer no question."""
    text, content_type = Service().metrics().expose()
    assert b"_created" not in text
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"


def test_promtool_accepts_the_exposition() -> None:
    """Prometheus' own linter has nothing to say, neither about the form nor about the names."""
    metrics = Service().metrics()
    for event in _everything():
        metrics.observe(event)
    found = subprocess.run([ROOT / "scripts/get-promtool"], capture_output=True, check=True, text=True)
    promtool = found.stdout.strip()
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=metrics.expose()[0], capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_credentials_are_stale_from_a_failed_reading_to_the_next_good_one() -> None:
    """An alert stands for as long as older keys are in force."""
    failed, mended = CredentialsRead("", "keys", "error"), CredentialsRead("", "keys", "success")

    assert _told()["agent_credentials_stale{source=keys}"] == 0
    assert _told(failed)["agent_credentials_stale{source=keys}"] == 1
    assert _told(failed)["agent_credentials_stale{source=jwks}"] == 0
    assert _told(failed, mended)["agent_credentials_stale{source=keys}"] == 0


def test_refusals_count_by_limit_and_what_goes_uncounted_too() -> None:
    """From zero, so that the first one is an increase that can be seen."""
    told = _told(LimitMet("r", "key"), LimitMet("r", "tokens"), LimitMet("r", "key"), LimitNotChecked("r"))

    assert told["agent_rate_limit_refusals_total{limit=key}"] == 2
    assert told["agent_rate_limit_refusals_total{limit=tokens}"] == 1
    assert told["agent_rate_limit_refusals_total{limit=user}"] == 0
    assert told["agent_rate_limit_errors_total"] == 1
    assert _told()["agent_rate_limit_errors_total"] == 0


def test_spans_that_are_lost_are_counted_one_by_one() -> None:
    """A batch holds many."""
    told = _told(TraceSpansLost("", 3), TraceSpansLost("", 2))
    assert told["agent_trace_spans_lost_total"] == 5


@pytest.mark.parametrize("is_sampled", [True, False])
def test_the_latency_of_a_query_leads_to_its_trace(is_sampled: bool) -> None:
    """Where the trace is kept; one that nobody can look at is not named."""
    metrics = Service().metrics()
    with within(FakeTrace(is_sampled=is_sampled)):
        metrics.observe(_query(seconds=0.3))
    text, _ = metrics.expose("application/openmetrics-text")
    marked = [line for line in text.decode().splitlines() if FakeTrace().trace_id in line]
    assert [line.partition(" ")[0] for line in marked] == [
        'agent_latency_seconds_bucket{le="0.5"}'
    ] * is_sampled
