from __future__ import annotations

from typing import TYPE_CHECKING

from click.testing import CliRunner

from agent_service.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path


def test_a_new_project_is_listed_with_what_to_do_next(tmp_path: Path) -> None:
    """Every file is named, and the commands that come next."""
    done = CliRunner().invoke(main, ["new", str(tmp_path / "bot")])

    assert done.exit_code == 0
    assert str(tmp_path / "bot" / "bot" / "agent.py") in done.output
    assert "agent-service serve --reload" in done.output


def test_a_project_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    """The reason, and exit status 1."""
    (tmp_path / "file").write_text("")

    refused = CliRunner().invoke(main, ["new", str(tmp_path / "file")])
    unwritable = CliRunner().invoke(main, ["new", str(tmp_path / "file" / "bot")])

    assert (refused.exit_code, unwritable.exit_code) == (1, 1)
    assert refused.output == f"Error: {tmp_path / 'file'} is there already\n"
    assert unwritable.output.startswith(f"Error: cannot write {tmp_path / 'file' / 'bot'}: ")
