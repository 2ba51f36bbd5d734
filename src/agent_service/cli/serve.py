"""``agent-service serve``: run the service until it is told to stop."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from agent_service.config import Settings

_DOTENV = Path(".env")
_USAGE_ERROR = 2


@click.command()
@click.argument("program", required=False)
@click.option("--host", help="Address to listen on; instead of SERVER_HOST.")
@click.option("--port", help="Port to listen on, 0 for a free one; instead of SERVER_PORT.")
@click.option("--reload", is_flag=True, help="While developing: start again when a file here changes.")
@click.pass_context
def serve(
    context: click.Context, /, *, program: str | None, host: str | None, port: str | None, reload: bool
) -> NoReturn:
    """Serve over HTTP.

    PROGRAM is package.module:attribute, instead of AGENT_PROGRAM. Settings come from the environment and the
    file .env; docs/settings.md lists them, and `agent-service check` says which are set.
    """
    from agent_service.config import SettingsError

    asked = {"AGENT_PROGRAM": program, "SERVER_HOST": host, "SERVER_PORT": port}
    given = {name: value for name, value in asked.items() if value}
    try:
        settings = _settings(given)
    except SettingsError as error:
        click.echo(error, err=True)
        context.exit(_USAGE_ERROR)
    if reload:
        from agent_service.cli.reload import serve_again_on_changes

        context.exit(serve_again_on_changes(Path.cwd(), given))
    from agent_service import server

    if settings.server_workers > 1:
        context.exit(server.run_workers(settings, load=partial(_process_settings, given)))
    context.exit(server.run(_process_settings(given)))


def _settings(given: dict[str, str]) -> Settings:
    from agent_service.config import Settings

    return Settings.load({**os.environ, **given}, dotenv_path=_DOTENV)


def _process_settings(given: dict[str, str]) -> Settings:
    """The settings, and in this process the variables of its own that a model provider's client reads."""
    from dotenv import load_dotenv

    settings = _settings(given)
    load_dotenv(_DOTENV, interpolate=False, encoding="utf-8-sig")
    return settings
