"""``agent-service serve``: run the service until it is told to stop."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import click

_DOTENV = Path(".env")
_USAGE_ERROR = 2


@click.command()
@click.option("--host", help="Address to listen on; instead of SERVER_HOST.")
@click.option("--port", help="Port to listen on, 0 for a free one; instead of SERVER_PORT.")
@click.pass_context
def serve(context: click.Context, host: str | None, port: str | None) -> NoReturn:
    """Serve over HTTP.

    Settings come from the environment and the file .env; docs/settings.md lists them.
    """
    from dotenv import load_dotenv

    from agent_service.config import Settings, SettingsError

    given = {name: value for name, value in (("SERVER_HOST", host), ("SERVER_PORT", port)) if value}
    try:
        settings = Settings.load({**os.environ, **given}, dotenv_path=_DOTENV)
    except SettingsError as error:
        click.echo(error, err=True)
        context.exit(_USAGE_ERROR)
    # The model providers' clients read variables of their own from the process.
    load_dotenv(_DOTENV, interpolate=False, encoding="utf-8-sig")

    from agent_service import server

    context.exit(server.run(settings))
