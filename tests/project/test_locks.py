from __future__ import annotations

import re
from pathlib import Path

import pytest

LOCKS = sorted((Path(__file__).parents[2] / "locks").glob("*.lock"))


def test_there_are_locks() -> None:
    """What runs, builds, tests, checks a deployment and writes its bill of materials: each is locked."""
    names = [path.name for path in LOCKS]
    assert names == ["build.lock", "deploy.lock", "dev.lock", "runtime.lock", "sbom.lock"]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_a_lock_names_no_index(path: Path) -> None:
    """Where packages come from is the installer's setting; behind a mirror a named host cannot be reached."""
    text = path.read_text("utf-8")
    assert re.findall(r"https?:|--index-url|--extra-index-url|--find-links", text) == []


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_each_locked_package_has_its_hashes(path: Path) -> None:
    """What is installed is what was locked, byte for byte."""
    requirements = re.split(r"(?m)^(?=[A-Za-z0-9])", path.read_text("utf-8"))[1:]
    assert requirements
    assert [text.split()[0] for text in requirements if "--hash=sha256:" not in text] == []
