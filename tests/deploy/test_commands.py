"""Commands for deploying say what they need where it is not."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.deploy.prometheus import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
COMMANDS = [
    *("build", "build-release", "run", "run-release", "test", "clean"),
    *("docker-build", "docker-run", "docker-push", "infra-up", "infra-down", "logs"),
    *("metrics", "load-test", "sbom", "check-deploy"),
]
_ABSENT = "no-such-engine"
_NOBODY = "http://127.0.0.1:9"


def _make(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_there_and_explained(command: str) -> None:
    """`make help` lists it, and it can be planned to its end."""
    assert re.search(rf"^{command}:.*## \S", MAKEFILE, re.MULTILINE)
    assert f"  {command} " in _make("help").stdout
    assert _make("--dry-run", command, "REGISTRY=registry.example.com").returncode == 0


@pytest.mark.parametrize("command", ["docker-build", "docker-run", "infra-up", "infra-down", "logs"])
def test_a_missing_engine_is_named(command: str) -> None:
    """Not a shell's "command not found" among other lines."""
    done = _make(command, f"DOCKER={_ABSENT}")
    assert done.returncode != 0
    assert f"make {command} needs {_ABSENT}: https://" in done.stderr


def test_a_missing_registry_is_asked_for() -> None:
    """An image is never pushed to a default place."""
    assert "make docker-push needs REGISTRY=" in _make("docker-push", "REGISTRY=").stderr


@pytest.mark.parametrize("command", ["metrics", "load-test"])
def test_a_missing_service_or_tool_is_named(command: str) -> None:
    """What the user has to start or to install first."""
    assert f"make {command} needs " in _make(command, f"URL={_NOBODY}").stderr
