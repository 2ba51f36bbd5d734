from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from agent_service import __version__
from agent_service.cli.main import main

REPORT = "import sys, json; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
HEAVY = {"dspy", "litellm", "openai", "starlette", "uvicorn", "pydantic", "structlog"}


def _loaded_by(code: str) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded after ``code``."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{REPORT}"], capture_output=True, check=True, text=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_package_loads_nothing_heavy() -> None:
    """A program that imports the package for its version does not wait for DSPy."""
    assert not _loaded_by("import agent_service") & HEAVY


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["serve", "--help"], ["simulate-lm", "--help"], ["keys", "create", "--help"]],
)
def test_asking_for_help_loads_nothing_heavy(arguments: list[str]) -> None:
    """Help is there at once, for each command."""
    code = f"""
from agent_service.cli.main import main
try:
    main({arguments!r})
except SystemExit as end:
    assert end.code == 0"""
    assert not _loaded_by(code) & HEAVY


def test_settings_load_neither_dspy_nor_the_web_framework() -> None:
    """A wrong setting is told at once."""
    loaded = _loaded_by("from agent_service.config import Settings; Settings.load({})")
    assert not loaded & {"dspy", "litellm", "starlette", "uvicorn"}


def test_the_version_is_told() -> None:
    """The same that the package has."""
    assert CliRunner().invoke(main, ["--version"]).output == f"agent-service, version {__version__}\n"


def test_an_unknown_command_is_wrong_usage() -> None:
    """Exit status 2, as everywhere."""
    assert CliRunner().invoke(main, ["fly"]).exit_code == 2


def test_the_package_is_the_command() -> None:
    """``python -m agent_service`` does the same under the same name."""
    done = subprocess.run(
        [sys.executable, "-m", "agent_service", "--help"], capture_output=True, check=True, text=True
    )
    assert done.stdout.startswith("Usage: agent-service [OPTIONS] COMMAND")
