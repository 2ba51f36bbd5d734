"""What is loaded before the first answer: only what that answer needs."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = """
import asyncio, gc, sys
gc.disable()
from pathlib import Path
from agent_service.config import Settings
from agent_service.server.lifespan import Lifespan

settings = Settings.load({environ!r}, dotenv_path=Path(".env"))
from agent_service import bootstrap, server

async def live():
    lifespan = Lifespan(bootstrap.build(settings).app)
    await lifespan.start()
    print("collector", gc.isenabled(), gc.get_freeze_count() > 10_000)
    await lifespan.stop()

asyncio.run(live())
print(" ".join(sorted(set({unwanted!r}) & set(sys.modules))))
"""

UNWANTED = (
    "litellm",
    "redis",
    "matplotlib",
    "fastapi",
    "swagger_ui",
    "structlog",
    "mcp",
    "optuna",
    "datasets",
)


@pytest.mark.parametrize("model", ["offline", "openai/gpt-4o-mini"])
def test_a_service_loads_no_library_that_it_does_not_use(tmp_path: Path, model: str) -> None:
    """LiteLLM alone takes several times as long as all the rest; others are for one format or one store."""
    environ = {"AGENT_MODEL": model, "OPENAI_API_KEY": "none", "MEMORY_PATH": str(tmp_path / "memory.db")}
    script = SCRIPT.format(environ=environ, unwanted=UNWANTED)

    started = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=False, cwd=tmp_path, text=True, timeout=60
    )

    assert started.returncode == 0, started.stderr
    assert started.stdout.splitlines()[-1] == ""


def test_full_collections_pass_over_what_was_loaded(tmp_path: Path) -> None:
    """Once ready the collector works again, and never walks through the libraries, which takes 0.1 s."""
    script = SCRIPT.format(environ={"MEMORY_PATH": str(tmp_path / "memory.db")}, unwanted=())

    started = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, cwd=tmp_path, text=True, timeout=60
    )

    assert "collector True True" in started.stdout.splitlines()
