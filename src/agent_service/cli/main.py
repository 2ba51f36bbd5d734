"""The command ``agent-service``. Exit status: 0 well, 1 failed, 2 wrong usage or settings.

Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import click

from agent_service import __version__
from agent_service.cli.bench import bench
from agent_service.cli.chat import chat
from agent_service.cli.check import check
from agent_service.cli.completion import completion
from agent_service.cli.keys import keys
from agent_service.cli.new import new
from agent_service.cli.release import release
from agent_service.cli.serve import serve
from agent_service.cli.simulate_lm import simulate_lm


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="agent-service")
def main() -> None:
    """Put a DSPy program behind an HTTP API that holds up in production."""


main.add_command(bench)
main.add_command(chat)
main.add_command(check)
main.add_command(keys)
main.add_command(completion)
main.add_command(new)
main.add_command(release)
main.add_command(serve)
main.add_command(simulate_lm)
