from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from agent_service.cli.main import main
from tests.processes import ServerProcess

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, for what ``.env`` a test puts there."""
    monkeypatch.chdir(tmp_path)


def _serve(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(main, ["serve", *arguments], env=environ)


def test_wrong_settings_end_with_status_2_and_all_of_them_on_stderr() -> None:
    """Nothing is started, nothing is on stdout, and there is no traceback."""
    done = _serve(SERVER_PORT="http", AGENT_POOL_SIZE="0")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "These settings are wrong:",
        "  SERVER_PORT='http': must be a whole number from 0 to 65535",
        "  AGENT_POOL_SIZE='0': must be a whole number from 1 to 10000",
    ]


def test_options_go_before_the_environment_and_are_checked_like_it() -> None:
    """One rule for a port, wherever it was given."""
    done = _serve("--port", "-1", "--host", "a b", SERVER_PORT="3000")
    assert "SERVER_PORT='-1'" in done.stderr
    assert "SERVER_HOST='a b'" in done.stderr


def test_the_program_may_be_an_argument() -> None:
    """It goes before the environment, and is checked like it."""
    done = _serve("no/path", AGENT_PROGRAM="mine:program")
    assert (done.exit_code, "AGENT_PROGRAM='no/path'" in done.stderr) == (2, True)


def test_the_file_in_the_folder_is_read(tmp_path: Path) -> None:
    """``.env`` counts where the command runs."""
    (tmp_path / ".env").write_text("MEMORY_MAX_TURNS=none\n", encoding="utf-8")
    assert "MEMORY_MAX_TURNS='none'" in _serve().stderr


def test_it_serves_until_told_to_stop(tmp_path: Path) -> None:
    """The options win over the environment, and a stop that was asked for is no failure."""
    environ = {**os.environ, "SERVER_PORT": "1", "AGENT_MODEL": "offline"}
    running = ServerProcess(["serve", "--host", "127.0.0.1", "--port", "0"], environ=environ, folder=tmp_path)
    try:
        assert running.url().startswith("http://127.0.0.1:")
        running.signal(signal.SIGTERM)
        assert running.status() == 0
    finally:
        running.close()
