"""Node.js clients of OpenAI's API: npm's packages from their lock, and a script that asks with them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent / "node"
_ROOT = Path(__file__).parents[2]
_FILES = ("package.json", "package-lock.json", "ask.mjs")

CLIENTS = ("openai-chat", "openai-responses", "ai-chat", "ai-responses", "ai-compatible")


def installed() -> Path:
    """The folder with the script and its packages; made by the first who needs it."""
    made = subprocess.run(
        [_ROOT / "scripts" / "get-node-packages", _HERE, _ROOT / ".tools" / f"node-{_version()}"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    return Path(made.stdout.strip())


def ask(folder: Path, base_url: str, client: str, action: str, *said: str) -> dict[str, Any]:
    """What the script prints."""
    ran = subprocess.run(
        [shutil.which("node") or "node", "ask.mjs", base_url, client, action, *said],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "AI_SDK_LOG_WARNINGS": "false"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    answered: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return answered


def _version() -> str:
    texts = b"".join((_HERE / name).read_bytes() for name in _FILES)
    return hashlib.sha256(texts).hexdigest()[:16]
