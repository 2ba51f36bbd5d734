"""Writes a new project from the template beside this file."""

from __future__ import annotations

import re
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from agent_service import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.abc import Traversable
    from pathlib import Path

_SUFFIX = ".template"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")


class ProjectError(Exception):
    """No project can be made. The message is for whoever asked for it."""


def make_project(folder: Path) -> list[Path]:
    """Write a project into ``folder``, which must not exist or be empty; it is called as the folder is.

    Returns:
        The files, in the order in which they are best read.

    Raises:
        ProjectError: when the name is no name of a project, or something is in the folder.
        OSError: when the files cannot be written.
    """
    name = folder.name
    if not _NAME.fullmatch(name):
        raise ProjectError(f"{name!r} is no name of a project: letters, digits, - and _, first a letter")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ProjectError(f"{folder} is there already")
    package = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    values = {"name": name, "package": package, "version": __version__}
    written = []
    for path, template in _templates(files(__package__) / "template"):
        target = folder / path.replace("package/", f"{package}/", 1).removesuffix(_SUFFIX)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(Template(template.read_text(encoding="utf-8")).substitute(values), encoding="utf-8")
        written.append(target)
    return written


def _templates(folder: Traversable, path: str = "") -> Iterator[tuple[str, Traversable]]:
    """The template's files by relative path, folders first."""
    for entry in sorted(folder.iterdir(), key=lambda entry: (entry.is_file(), entry.name)):
        if entry.is_dir():
            yield from _templates(entry, f"{path}{entry.name}/")
        elif entry.name.endswith(_SUFFIX):
            yield path + entry.name, entry
