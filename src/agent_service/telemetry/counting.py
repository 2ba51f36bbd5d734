"""Counters and histograms, each event counted where it belongs."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from agent_service.core.errors import CancelledByCallerError
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
    StoreOperationFinished,
    StreamCutOff,
    ToolFinished,
    TraceSpansLost,
)
from agent_service.core.trace import TRACE
from agent_service.telemetry.error_codes import FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0)
_STORE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_STEPS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 50)

_LM_OUTCOMES = ("success", "error", "rate_limited", "timeout", "refused", "stopped")
_CREDENTIAL_SOURCES = ("keys", "jwks")
_LIMITS = ("key", "user", "tokens")
_TOOL_OUTCOMES = ("success", "error", "timeout", "stopped")


class Counting:
    """Counts what it hears, in metrics that it declares. Safe on any thread.

    Args:
        registry: gets the metrics.
        models: models known from the start; their series begin at zero.
        tools: tools known from the start; their series begin at zero.
    """

    def __init__(
        self, registry: CollectorRegistry, *, models: Iterable[str] = (), tools: Iterable[str] = ()
    ) -> None:
        self._registry = registry
        self._declare_queries()
        self._declare_seams()
        self._declare_edges()
        self._begin_at_zero(models, tools)
        self._by_kind: dict[type[Event], Callable[[Any], None]] = {
            QueryFinished: self._query_finished,
            LMCallFinished: self._lm_call_finished,
            FallbackTaken: lambda event: self._fallbacks(event.model).inc(),
            BreakerMoved: self._breaker_moved,
            ToolFinished: self._tool_finished,
            StoreOperationFinished: self._store_operation_finished,
            HttpRequestFinished: self._http_request_finished,
            CredentialsRead: self._credentials_read,
            LimitMet: lambda event: self._limits_met(event.limit).inc(),
            LimitNotChecked: lambda _: self._limits_not_checked.inc(),
            StreamCutOff: lambda _: self._streams_cut_off.inc(),
            LoopLagMeasured: lambda event: self._loop_lag.set(event.lag_seconds),
            LoopBlocked: lambda _: self._loop_blocked.inc(),
            TraceSpansLost: lambda event: self._spans_lost.inc(event.spans),
        }

    def __repr__(self) -> str:
        return f"<Counting {len(self._by_kind)} kinds of events>"

    def observe(self, event: Event) -> None:
        """Count ``event``; kinds that no metric tells of are passed over."""
        count = self._by_kind.get(type(event))
        if count is not None:
            count(event)

    def _query_finished(self, event: QueryFinished) -> None:
        self._requests("success" if event.code is None else "failure").inc()
        self._latency.observe(event.latency_seconds, _exemplar())
        if event.code is None:
            self._steps.observe(event.reasoning_steps)
        elif event.code == CancelledByCallerError.code:
            self._errors(event.code).inc()

    def _lm_call_finished(self, event: LMCallFinished) -> None:
        self._lm_calls(event.model, event.outcome).inc()
        self._lm_latency(event.model).observe(event.latency_seconds)
        self._lm_tokens(event.model, "prompt").inc(event.usage.prompt_tokens)
        self._lm_tokens(event.model, "completion").inc(event.usage.completion_tokens)

    def _breaker_moved(self, event: BreakerMoved) -> None:
        if event.after == "open":
            self._openings(event.upstream).inc()

    def _tool_finished(self, event: ToolFinished) -> None:
        self._tool_calls(event.tool, event.outcome).inc()
        self._tool_latency(event.tool).observe(event.latency_seconds)

    def _store_operation_finished(self, event: StoreOperationFinished) -> None:
        self._store_operations(event.backend, event.operation, event.outcome).inc()
        self._store_latency(event.backend, event.operation).observe(event.latency_seconds)

    def _http_request_finished(self, event: HttpRequestFinished) -> None:
        self._http_requests(event.route, event.method, str(event.status)).inc()
        if event.error is not None and event.error != CancelledByCallerError.code:
            self._errors(event.error).inc()

    def _credentials_read(self, event: CredentialsRead) -> None:
        self._credentials_stale.labels(event.source).set(event.outcome != "success")

    def _declare_queries(self) -> None:
        self._requests = self._counters("agent_requests_total", "Queries that ended.", "status")
        self._latency = self._histogram("agent_latency_seconds", "Time from a query's arrival to its end.")
        self._errors = self._counters("agent_errors_total", "Problems answered, and queries left.", "error")
        self._steps = self._histogram(
            "agent_reasoning_steps", "Tool steps of a query that succeeded.", buckets=_STEPS
        )

    def _declare_seams(self) -> None:
        self._lm_calls = self._counters(
            "agent_lm_calls_total", "Attempts to call the language model.", "model", "outcome"
        )
        self._lm_latency = self._histograms(
            "agent_lm_latency_seconds", "Time of one attempt to call the language model.", "model"
        )
        self._lm_tokens = self._counters(
            "agent_lm_tokens_total", "Tokens that the language model charged for.", "model", "kind"
        )
        self._fallbacks = self._counters(
            "agent_fallbacks_total", "Calls that went on to another model, by the one that failed.", "model"
        )
        self._openings = self._counters(
            "circuit_breaker_openings_total", "Times that a circuit breaker opened.", "upstream"
        )
        self._tool_calls = self._counters("agent_tool_calls_total", "Tool calls.", "tool", "outcome")
        self._tool_latency = self._histograms("agent_tool_latency_seconds", "Time of a tool call.", "tool")

    def _declare_edges(self) -> None:
        self._store_operations = self._counters(
            "agent_memory_operations_total",
            "Operations of the conversation store.",
            "backend",
            "operation",
            "outcome",
        )
        self._store_latency = self._histograms(
            "agent_memory_latency_seconds",
            "Time of an operation of the conversation store.",
            "backend",
            "operation",
            buckets=_STORE_SECONDS,
        )
        self._http_requests = self._counters(
            "agent_http_requests_total", "HTTP requests that were answered.", "route", "method", "code"
        )
        self._streams_cut_off = self._counter(
            "agent_streams_cut_off_total", "Event streams whose reader was too slow."
        )
        self._limits_met = self._counters(
            "agent_rate_limit_refusals_total", "Queries refused because of a limit.", "limit"
        )
        self._limits_not_checked = self._counter(
            "agent_rate_limit_errors_total", "Times that a limit was not checked because counting failed."
        )
        self._credentials_stale = Gauge(
            "agent_credentials_stale",
            "Whether older keys are in force because those of the source cannot be read.",
            ("source",),
            registry=self._registry,
        )
        self._loop_lag = Gauge(
            "agent_event_loop_lag_seconds", "Lateness of the event loop's last tick.", registry=self._registry
        )
        self._loop_blocked = self._counter(
            "agent_event_loop_blocked_total", "Times that the event loop did not turn for too long."
        )
        self._spans_lost = self._counter(
            "agent_trace_spans_lost_total", "Spans of traces that their receiver did not take."
        )
        self._counter("agent_worker_crashes_total", "Processes that ended unasked and were replaced.")

    def _counters(self, name: str, meaning: str, *labels: str) -> Callable[..., Counter]:
        """The counter for given labels. Looking one up costs more than counting, so it is done once."""
        return cache(self._counter(name, meaning, *labels).labels)

    def _histograms(
        self, name: str, meaning: str, *labels: str, buckets: tuple[float, ...] = _SECONDS
    ) -> Callable[..., Histogram]:
        return cache(self._histogram(name, meaning, *labels, buckets=buckets).labels)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, registry=self._registry)

    def _histogram(
        self, name: str, meaning: str, *labels: str, buckets: tuple[float, ...] = _SECONDS
    ) -> Histogram:
        return Histogram(name, meaning, labels, registry=self._registry, buckets=buckets)

    def _begin_at_zero(self, models: Iterable[str], tools: Iterable[str]) -> None:
        """Make the series of closed label sets, so that the first event is an increase that can be seen."""
        for status in ("success", "failure"):
            self._requests(status)
        for code in FAULTS:
            self._errors(code)
        for limit in _LIMITS:
            self._limits_met(limit)
        for source in _CREDENTIAL_SOURCES:
            self._credentials_stale.labels(source)
        for model in models:
            self._lm_latency(model)
            self._fallbacks(model)
            self._openings(model)
            for outcome in _LM_OUTCOMES:
                self._lm_calls(model, outcome)
            for kind in ("prompt", "completion"):
                self._lm_tokens(model, kind)
        for tool in tools:
            self._tool_latency(tool)
            for outcome in _TOOL_OUTCOMES:
                self._tool_calls(tool, outcome)


def _exemplar() -> dict[str, str] | None:
    """The trace of the query that ends here, when it is kept somewhere."""
    trace = TRACE.get()
    return None if trace is None or not trace.is_sampled else {"trace_id": trace.trace_id}
