"""Prometheus metrics, fed by the core's events. Names and labels are public: see docs/operations.md."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.registry import Collector

from agent_service.core.errors import CancelledByCallerError
from agent_service.core.observer import (
    BreakerMoved,
    Event,
    FallbackTaken,
    HttpRequestFinished,
    LMCallFinished,
    LoopBlocked,
    LoopLagMeasured,
    QueryFinished,
    StoreOperationFinished,
    ToolFinished,
)
from agent_service.telemetry.error_codes import FAULTS
from agent_service.telemetry.upstream_gauges import UpstreamGauges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from prometheus_client import Metric

    from agent_service.telemetry.upstream_gauges import UpstreamNumbers

BREAKER_STATES = {"closed": 0, "open": 1, "half_open": 2}

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0)
_STORE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_STEPS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 50)

_LM_OUTCOMES = ("success", "error", "rate_limited", "timeout", "refused", "stopped")
_TOOL_OUTCOMES = ("success", "error", "timeout", "stopped")


class Metrics:
    """Counts what it hears and writes it down for Prometheus. Safe on any thread.

    Two counters tell of failures, and none counts twice: ``agent_requests_total`` counts queries as they
    end; ``agent_errors_total`` counts the problems answered over HTTP, whatever the request was, and the
    queries whose caller left, which nobody was answered.

    Args:
        pool_size: slots of the pool, read at each scrape; so are the next five.
        pool_in_use: slots that are taken.
        pool_waiting: queries that wait for a slot.
        pool_abandoned: slots held by work whose caller was answered.
        breaker_state: ``closed``, ``open`` or ``half_open``.
        upstreams: the numbers of each language model.
        version: this service's version.
        dspy_version: DSPy's version.
        models: models known from the start; their series begin at zero.
        tools: tools known from the start; their series begin at zero.
    """

    def __init__(
        self,
        *,
        pool_size: Callable[[], int],
        pool_in_use: Callable[[], int],
        pool_waiting: Callable[[], int],
        pool_abandoned: Callable[[], int],
        breaker_state: Callable[[], str],
        upstreams: Callable[[], Sequence[UpstreamNumbers]],
        version: str,
        dspy_version: str,
        models: Iterable[str] = (),
        tools: Iterable[str] = (),
    ) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._declare_queries()
        self._declare_seams()
        self._declare_edges()
        self._gauge("agent_pool_size", "Queries that may run at once in this process.", pool_size)
        self._gauge("agent_pool_in_use", "Queries that run now.", pool_in_use)
        self._gauge("agent_pool_waiting", "Queries that wait for a slot.", pool_waiting)
        self._gauge("agent_pool_abandoned", "Slots of work whose caller was answered.", pool_abandoned)
        self._gauge(
            "circuit_breaker_state",
            "Circuit breaker of the language model: 0 closed, 1 open, 2 half-open.",
            lambda: BREAKER_STATES[breaker_state()],
        )
        self._registry.register(UpstreamGauges(upstreams))
        self._info(version=version, python=platform.python_version(), dspy=dspy_version)
        self._begin_at_zero(models, tools)

    def __repr__(self) -> str:
        return f"<Metrics {', '.join(self.names())}>"

    def names(self) -> tuple[str, ...]:
        """Every name of ours that is exposed, in order; counters with their ``_total``."""
        families = [family for family in self._registry.collect() if not family.name.startswith("process_")]
        return tuple(
            f"{family.name}_total" if family.type == "counter" else family.name for family in families
        )

    def expose(self) -> tuple[bytes, str]:
        """The exposition in Prometheus' text format, and its content type."""
        return generate_latest(_WithoutCreated(self._registry)), CONTENT_TYPE_PLAIN_0_0_4

    def observe(self, event: Event) -> None:
        """Count ``event``; kinds that no metric tells of are passed over."""
        match event:
            case QueryFinished():
                self._query_finished(event)
            case LMCallFinished():
                self._lm_call_finished(event)
            case BreakerMoved(after="open"):
                self._openings.labels(event.upstream).inc()
            case FallbackTaken():
                self._fallbacks.labels(event.model).inc()
            case ToolFinished():
                self._tool_calls.labels(event.tool, event.outcome).inc()
                self._tool_latency.labels(event.tool).observe(event.latency_seconds)
            case StoreOperationFinished():
                self._store_operations.labels(event.backend, event.operation, event.outcome).inc()
                self._store_latency.labels(event.backend, event.operation).observe(event.latency_seconds)
            case HttpRequestFinished():
                self._http_request_finished(event)
            case LoopLagMeasured():
                self._loop_lag.set(event.lag_seconds)
            case LoopBlocked():
                self._loop_blocked.inc()
            case _:
                pass

    def _query_finished(self, event: QueryFinished) -> None:
        self._requests.labels("success" if event.code is None else "failure").inc()
        self._latency.observe(event.latency_seconds)
        if event.code is None:
            self._steps.observe(event.reasoning_steps)
        elif event.code == CancelledByCallerError.code:
            self._errors.labels(event.code).inc()

    def _lm_call_finished(self, event: LMCallFinished) -> None:
        self._lm_calls.labels(event.model, event.outcome).inc()
        self._lm_latency.labels(event.model).observe(event.latency_seconds)
        self._lm_tokens.labels(event.model, "prompt").inc(event.usage.prompt_tokens)
        self._lm_tokens.labels(event.model, "completion").inc(event.usage.completion_tokens)

    def _http_request_finished(self, event: HttpRequestFinished) -> None:
        self._http_requests.labels(event.route, event.method, str(event.status)).inc()
        if event.error is not None and event.error != CancelledByCallerError.code:
            self._errors.labels(event.error).inc()

    def _declare_queries(self) -> None:
        self._requests = self._counter("agent_requests_total", "Queries that ended.", "status")
        self._latency = self._histogram("agent_latency_seconds", "Time from a query's arrival to its end.")
        self._errors = self._counter("agent_errors_total", "Problems answered, and queries left.", "error")
        self._steps = self._histogram(
            "agent_reasoning_steps", "Tool steps of a query that succeeded.", buckets=_STEPS
        )

    def _declare_seams(self) -> None:
        self._lm_calls = self._counter(
            "agent_lm_calls_total", "Attempts to call the language model.", "model", "outcome"
        )
        self._lm_latency = self._histogram(
            "agent_lm_latency_seconds", "Time of one attempt to call the language model.", "model"
        )
        self._lm_tokens = self._counter(
            "agent_lm_tokens_total", "Tokens that the language model charged for.", "model", "kind"
        )
        self._fallbacks = self._counter(
            "agent_fallbacks_total", "Calls that went on to another model, by the one that failed.", "model"
        )
        self._openings = self._counter(
            "circuit_breaker_openings_total", "Times that a circuit breaker opened.", "upstream"
        )
        self._tool_calls = self._counter("agent_tool_calls_total", "Tool calls.", "tool", "outcome")
        self._tool_latency = self._histogram("agent_tool_latency_seconds", "Time of a tool call.", "tool")

    def _declare_edges(self) -> None:
        self._store_operations = self._counter(
            "agent_memory_operations_total",
            "Operations of the conversation store.",
            "backend",
            "operation",
            "outcome",
        )
        self._store_latency = self._histogram(
            "agent_memory_latency_seconds",
            "Time of an operation of the conversation store.",
            "backend",
            "operation",
            buckets=_STORE_SECONDS,
        )
        self._http_requests = self._counter(
            "agent_http_requests_total", "HTTP requests that were answered.", "route", "method", "code"
        )
        self._loop_lag = Gauge(
            "agent_event_loop_lag_seconds", "Lateness of the event loop's last tick.", registry=self._registry
        )
        self._loop_blocked = self._counter(
            "agent_event_loop_blocked_total", "Times that the event loop did not turn for too long."
        )

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, registry=self._registry)

    def _histogram(
        self, name: str, meaning: str, *labels: str, buckets: tuple[float, ...] = _SECONDS
    ) -> Histogram:
        return Histogram(name, meaning, labels, registry=self._registry, buckets=buckets)

    def _gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        Gauge(name, meaning, registry=self._registry).set_function(read)

    def _info(self, **labels: str) -> None:
        info = Gauge("agent_build_info", "What runs here; always 1.", tuple(labels), registry=self._registry)
        info.labels(**labels).set(1)

    def _begin_at_zero(self, models: Iterable[str], tools: Iterable[str]) -> None:
        """Make the series of closed label sets, so that the first event is an increase that can be seen."""
        for status in ("success", "failure"):
            self._requests.labels(status)
        for code in FAULTS:
            self._errors.labels(code)
        for model in models:
            self._lm_latency.labels(model)
            self._fallbacks.labels(model)
            self._openings.labels(model)
            for outcome in _LM_OUTCOMES:
                self._lm_calls.labels(model, outcome)
            for kind in ("prompt", "completion"):
                self._lm_tokens.labels(model, kind)
        for tool in tools:
            self._tool_latency.labels(tool)
            for outcome in _TOOL_OUTCOMES:
                self._tool_calls.labels(tool, outcome)


class _WithoutCreated(Collector):
    """A registry without its ``_created`` series, which double the exposition and answer no question."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
