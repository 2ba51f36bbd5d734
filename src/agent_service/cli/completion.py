"""``agent-service completion``: the script that lets a shell complete the commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "fish", "zsh")


@click.command(epilog='For bash: eval "$(agent-service completion bash)"')
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands and options in SHELL."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.BadParameter(f"{shell} is not completed", param_hint="SHELL")
    root = context.find_root()
    click.echo(kind(root.command, {}, "agent-service", "_AGENT_SERVICE_COMPLETE").source())
