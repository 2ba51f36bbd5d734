"""The served OpenAPI document against the service: schemathesis with all its checks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.processes import Service

ASSETS = Path(__file__).parent / "assets"
_ARGUMENTS = (
    "--checks=all",
    # A history that was erased is an empty one, as that of an unknown user, and no 404.
    "--exclude-checks=use_after_free",
    "--max-examples=50",
    "--seed=1",
    "--generation-deterministic",
    "--no-color",
)


@pytest.mark.timeout(300)  # thousands of requests
def test_the_service_does_what_its_document_says(serve: Callable[..., Service], tmp_path: Path) -> None:
    """What the document allows is accepted, the rest refused; every answer is documented, none is a bug."""
    service = serve()
    command = [sys.executable, "-m", "schemathesis.cli", f"--config-file={ASSETS / 'openapi_fuzz.toml'}"]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ASSETS)}

    fuzzed = subprocess.run(
        [*command, "run", f"{service.url()}/openapi.json", *_ARGUMENTS],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert fuzzed.returncode == 0, fuzzed.stdout + fuzzed.stderr
    assert "No issues found" in fuzzed.stdout
    assert service.metric('agent_errors_total{error="internal_error"}') == 0
    assert service.ask("What is 2+2?").status_code == 200
    assert "Traceback" not in service.output
