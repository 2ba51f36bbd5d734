"""A new project, used as its README says."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.processes import Service

if TYPE_CHECKING:
    from pathlib import Path


def _run(folder: Path, *command: str) -> str:
    environ = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("projects") / "support-bot"
    _run(folder.parent, "agent_service", "new", "support-bot")
    return folder


def test_its_own_test_passes(project: Path) -> None:
    """With nothing but pytest beside the service."""
    assert "1 passed" in _run(project, "pytest", "-q", "-p", "no:cacheprovider")


def test_it_can_be_checked_and_served(project: Path, tmp_path: Path) -> None:
    """Its settings name its program; the offline engine answers."""
    assert "order_status" in _run(project, "agent_service", "check")
    service = Service(project, MEMORY_PATH=str(tmp_path / "conversations.db"))
    try:
        answer = service.ask("Where is my order A-1001?")
        info = service.client.get("/api/v1/info").json()
    finally:
        service.close()

    assert (answer.status_code, info["program"]) == (200, "support_bot")
