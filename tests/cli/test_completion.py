from __future__ import annotations

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from agent_service.cli.main import main


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_the_script_asks_the_command_itself(shell: str) -> None:
    """Each shell's script calls ``agent-service`` with the variable that makes it complete."""
    done = CliRunner().invoke(main, ["completion", shell])

    assert done.exit_code == 0
    assert f"_AGENT_SERVICE_COMPLETE={shell}_complete" in done.output
    assert "agent-service" in done.output


def test_commands_are_completed() -> None:
    """What the script calls knows every command that begins as typed."""
    environ = {
        "PATH": os.environ["PATH"],
        "_AGENT_SERVICE_COMPLETE": "bash_complete",
        "COMP_WORDS": "agent-service ch",
        "COMP_CWORD": "1",
    }
    code = "from agent_service.cli.main import main; main(prog_name='agent-service')"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines() == ["plain,chat", "plain,check"]
