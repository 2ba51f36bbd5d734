"""The served OpenAPI document against the service: schemathesis with all its checks."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent_service.access.key import Key, digest_of, new_secret
from agent_service.access.key_file import add_key

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
    _fuzz(service, tmp_path)

    assert service.metric('agent_errors_total{error="internal_error"}') == 0
    assert service.ask("What is 2+2?").status_code == 200
    assert "Traceback" not in service.output


def test_releases_do_what_the_document_says(serve: Callable[..., Service], tmp_path: Path) -> None:
    """The same of what needs a key, with one."""
    key_id, secret = new_secret()
    key = Key(
        id=key_id,
        name="fuzz",
        sha256=digest_of(secret).hex(),
        scopes=frozenset({"admin", "metrics", "query"}),
        created_at=datetime.now(timezone.utc),
    )
    add_key(tmp_path / "keys.json", key)
    service = serve(API_KEYS_FILE=str(tmp_path / "keys.json"), AGENT_RELEASES_PATH=str(tmp_path / "releases"))
    service.client.headers["X-API-Key"] = secret
    # A key can be sent in two ways: the fuzzer puts a wrong one beside the right one, which still holds.
    checks = "--exclude-checks=use_after_free,ignored_auth"
    _fuzz(service, tmp_path, checks, "--include-path-regex=/releases", f"--header=X-API-Key: {secret}")

    assert service.metric('agent_errors_total{error="internal_error"}') == 0
    assert service.client.get("/api/v1/programs/default/releases").json()["active"] == "base"
    assert "Traceback" not in service.output


def _fuzz(service: Service, folder: Path, *more: str) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", f"--config-file={ASSETS / 'openapi_fuzz.toml'}"]
    fuzzed = subprocess.run(
        [*command, "run", f"{service.url()}/openapi.json", *_ARGUMENTS, *more],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ASSETS)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert fuzzed.returncode == 0, fuzzed.stdout + fuzzed.stderr
    assert "No issues found" in fuzzed.stdout, fuzzed.stdout
