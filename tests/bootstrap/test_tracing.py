"""Tracing costs nothing where nobody asked for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from agent_service.bootstrap.tracing import build_tracing
from agent_service.config import Settings
from agent_service.core.observer import Observers
from agent_service.telemetry.tracing.traced_app import TracedApp
from agent_service.testing import FakeClock

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_IMPORTED = """
import sys
import agent_service.bootstrap.service
of_tracing = ("opentelemetry.sdk", "agent_service.telemetry.tracing")
print([name for name in sys.modules if name.startswith(of_tracing)])
"""


def _settings(**environ: str) -> Settings:
    return Settings.load(environ, dotenv_path=Path("/nowhere/.env"))


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer nothing."""


async def test_off_the_service_is_as_if_there_were_no_tracing() -> None:
    """No listener, no app around the app, nothing to run."""
    traces = build_tracing(_settings(), clock=FakeClock(), observers=Observers())
    assert traces.begin is None
    assert traces.app(_app) is _app
    async with traces.running():
        pass


def test_off_its_libraries_are_not_even_imported() -> None:
    """They take a third of a second."""
    command = [sys.executable, "-c", _IMPORTED]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "[]\n"


def test_on_requests_and_runs_are_traced_as_the_settings_say() -> None:
    """What is sent and to whom is in the environment, which OpenTelemetry reads."""
    settings = _settings(
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_PROPAGATORS="none",
        OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT="true",
    )
    traces = build_tracing(settings, clock=FakeClock(), observers=Observers())
    assert traces.begin is not None
    assert isinstance(traces.app(_app), TracedApp)
    assert "captures_content=True, propagates=False" in repr(traces.begin)
