"""Which of OpenTelemetry's variables switch tracing on and off, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_service.config import Settings, SettingsError

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


def _load(**environ: str) -> Settings:
    return Settings.load(environ, dotenv_path=Path("/nowhere/.env"))


@pytest.mark.parametrize(
    ("environ", "is_on"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector/v1/traces"}, True),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "True"}, False),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "no"}, True),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, False),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
    ],
)
def test_an_endpoint_switches_tracing_on(environ: dict[str, str], is_on: bool) -> None:
    """And the standard switches switch it off again."""
    assert _load(**environ).is_traced is is_on


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "must be http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "must be http/protobuf"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "must be otlp or none"),
    ],
)
def test_what_cannot_be_done_is_refused_while_tracing_is_on(name: str, value: str, allowed: str) -> None:
    """Platforms set these for all services: one that does not trace is not their concern."""
    with pytest.raises(SettingsError) as refused:
        _load(**ENDPOINT, **{name: value})
    (problem,) = refused.value.problems
    assert problem.name == name
    assert problem.allowed.startswith(allowed)
    _load(**{name: value})
    _load(**ENDPOINT, **{name: value}, OTEL_SDK_DISABLED="true")


def test_the_protocol_of_traces_comes_before_that_of_all_signals() -> None:
    """Metrics may go by gRPC."""
    protocols = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
    }
    assert _load(**ENDPOINT, **protocols).is_traced


@pytest.mark.parametrize(
    ("value", "captures"),
    [
        (None, False),
        ("true", True),
        ("SPAN_ONLY", True),
        ("span_and_event", True),
        ("event_only", False),
        ("false", False),
    ],
)
def test_content_is_for_those_who_ask_for_it(value: str | None, captures: bool) -> None:
    """By either of the two ways in which instrumentations take the word."""
    name = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    assert _load(**({} if value is None else {name: value})).traces_hold_content is captures


@pytest.mark.parametrize(
    ("value", "does"), [(None, True), ("b3, tracecontext", True), ("none", False), ("b3", False)]
)
def test_contexts_are_passed_on_unless_that_is_switched_off(value: str | None, does: bool) -> None:
    """The standard's default is W3C's headers."""
    assert _load(**({} if value is None else {"OTEL_PROPAGATORS": value})).traces_propagate is does
