"""Tracing: OpenTelemetry's own variables, as far as the service itself heeds them."""

from __future__ import annotations

from pydantic import BaseModel

from agent_service.config.sources import SettingProblem, wrong
from agent_service.config.values import Url, Word, setting

_PROTOCOL = "http/protobuf"
_CONTENT = ("true", "span_only", "span_and_event")


class TracingSettings(BaseModel):
    """Tracing: OpenTelemetry's own variables, as far as the service itself heeds them."""

    otel_exporter_otlp_endpoint: Url | None = setting(
        "an OTLP receiver, `/v1/traces` is added; switches [tracing](operations.md#tracing) on",
        allowed="an http:// or https:// URL",
    )
    otel_exporter_otlp_traces_endpoint: Url | None = setting(
        "the same, whole", allowed="an http:// or https:// URL"
    )
    otel_exporter_otlp_protocol: Word = setting(
        "how traces are sent", _PROTOCOL, allowed="`http/protobuf`, when tracing is on"
    )
    otel_exporter_otlp_traces_protocol: Word | None = setting(
        "the same, for traces alone", allowed="`http/protobuf`, when tracing is on"
    )
    otel_traces_exporter: Word = setting(
        "`none` switches tracing off", "otlp", allowed="`otlp` or `none`, when an endpoint is set"
    )
    otel_sdk_disabled: str = setting(
        "`true` switches tracing off", "false", allowed="`true`, or anything else for no"
    )
    otel_propagators: str = setting(
        "whether W3C's `traceparent` and `tracestate` are heeded and sent on",
        "tracecontext,baggage",
        allowed="names, comma-separated; with `tracecontext` among them they are",
    )
    otel_instrumentation_genai_capture_message_content: str = setting(
        "`true` writes prompts, answers and tools' arguments into traces",
        "false",
        allowed="`true` or `span_only`, or anything else for no",
    )

    @property
    def is_traced(self) -> bool:
        """Whether traces are made."""
        endpoint = self.otel_exporter_otlp_endpoint or self.otel_exporter_otlp_traces_endpoint
        is_off = self.otel_sdk_disabled.lower() == "true" or self.otel_traces_exporter.lower() == "none"
        return endpoint is not None and not is_off

    @property
    def traces_hold_content(self) -> bool:
        """Whether traces may show what was said."""
        return self.otel_instrumentation_genai_capture_message_content.lower() in _CONTENT

    @property
    def traces_propagate(self) -> bool:
        """Whether the trace context is taken from callers and given to language models."""
        return "tracecontext" in (name.strip() for name in self.otel_propagators.lower().split(","))


def tracing_problems(settings: TracingSettings) -> list[SettingProblem]:
    """What is asked for and cannot be done; nothing while tracing is off."""
    if not settings.is_traced:
        return []
    name, protocol = "OTEL_EXPORTER_OTLP_PROTOCOL", settings.otel_exporter_otlp_protocol
    if settings.otel_exporter_otlp_traces_protocol is not None:
        name, protocol = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", settings.otel_exporter_otlp_traces_protocol
    found = []
    if protocol != _PROTOCOL:
        found.append(wrong(name, protocol, f"must be {_PROTOCOL} (receivers mostly listen for it on 4318)"))
    if settings.otel_traces_exporter.lower() != "otlp":
        found.append(wrong("OTEL_TRACES_EXPORTER", settings.otel_traces_exporter, "must be otlp or none"))
    return found
