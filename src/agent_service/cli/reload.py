"""``agent-service serve --reload``: a process that is started again when the program changes."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

import click
from watchfiles import PythonFilter, run_process

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from watchfiles.main import FileChange

_WATCHED = (".env", ".json", ".toml", ".yaml", ".yml")
_IGNORED_FOLDERS = ("data", "dist", "build")
_GRACE_SECONDS = "1"


def serve_again_on_changes(folder: Path, settings: Mapping[str, str]) -> int:
    """Serve with ``settings``, and again whenever a Python, settings or state file in ``folder`` changes.

    A program that cannot be loaded says why, and is tried again at the next change. Returns when stopped.
    """
    os.environ.setdefault("SHUTDOWN_GRACE_SECS", _GRACE_SECONDS)
    os.environ.update(settings)
    click.secho(f"serving again whenever a file in {folder} changes", dim=True, err=True)
    run_process(
        folder,
        target=shlex.join([sys.executable, "-m", "agent_service", "serve"]),
        target_type="command",
        watch_filter=_Filter(extra_extensions=_WATCHED),
        callback=_tell,
        debounce=400,
    )
    return 0


class _Filter(PythonFilter):
    """Python files and what configures a program; not what the service itself writes."""

    ignore_dirs = (*PythonFilter.ignore_dirs, *_IGNORED_FOLDERS)


def _tell(changes: set[FileChange]) -> None:
    names = sorted(os.path.relpath(path) for _, path in changes)
    more = f" and {len(names) - 1} more" if names[1:] else ""
    click.secho(f"{names[0]}{more} changed: starting again", dim=True, err=True)
