"""``agent-service new``: a project to begin with."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(epilog="Exit status: 0 made, 1 not made.")
@click.argument("folder", type=click.Path(path_type=Path))
def new(folder: Path) -> None:
    """Make a project in FOLDER: a program with a tool, a test of it, a Dockerfile. It runs as it is."""
    from agent_service.scaffold.project import ProjectError, make_project

    try:
        written = make_project(folder)
    except ProjectError as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"cannot write {folder}: {error.strerror or error}") from error
    for path in written:
        click.echo(f"  {path}")
    click.echo(f"\nNow:\n  cd {folder}\n  agent-service check\n  agent-service serve --reload")
