from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from agent_service import __version__
from agent_service.scaffold.project import ProjectError, make_project

if TYPE_CHECKING:
    from pathlib import Path


def test_a_project_is_called_as_its_folder_and_its_package_as_python_allows(tmp_path: Path) -> None:
    """The name stands in the files; nothing of the template's own language is left in them."""
    written = make_project(tmp_path / "Support-Bot")

    assert tmp_path / "Support-Bot" / "support_bot" / "agent.py" in written
    texts = {path.name: path.read_text() for path in written}
    assert 'name = "Support-Bot"' in texts["pyproject.toml"]
    assert f"agent-service:{__version__}" in texts["Dockerfile"]
    assert not [name for name, text in texts.items() if "$package" in text or "$name" in text]
    assert not [path for path in written if path.name.endswith(".template")]


def test_each_python_file_of_a_project_can_be_read_by_python(tmp_path: Path) -> None:
    """What is handed out has no syntax error."""
    sources = [path for path in make_project(tmp_path / "bot") if path.suffix == ".py"]

    assert [ast.parse(path.read_text()) for path in sources]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    """Whoever made the folder first gets a project all the same."""
    (tmp_path / "bot").mkdir()

    assert make_project(tmp_path / "bot")


def test_nothing_that_is_there_is_overwritten(tmp_path: Path) -> None:
    """A folder with something in it is refused, and stays as it was."""
    (tmp_path / "bot").mkdir()
    (tmp_path / "bot" / "mine.txt").write_text("mine")

    with pytest.raises(ProjectError, match="is there already"):
        make_project(tmp_path / "bot")
    assert [path.name for path in (tmp_path / "bot").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("name", ["9lives", "_x", "a b", "ünder"])
def test_a_name_that_cannot_be_a_package_is_refused(tmp_path: Path, name: str) -> None:
    """Before anything is written."""
    with pytest.raises(ProjectError, match="no name of a project"):
        make_project(tmp_path / name)
    assert not list(tmp_path.iterdir())
