"""``agent-service keys``: make, list and revoke API keys."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from agent_service.access.key import Key

_DOTENV = Path(".env")
_SETTING = "API_KEYS_FILE"
_COLUMNS = ("id", "name", "scopes", "user_id", "rate_limit", "tokens_per_day", "created_at", "expires_at")
_MINUTE_CHARS = len("2026-01-31T12:00")


@click.group()
def keys() -> None:
    """Make, list and revoke API keys.

    They are in the file that API_KEYS_FILE names, or --file; only hashes of them. A service that runs takes a
    change within about a second.
    """


_file = click.option("--file", type=click.Path(path_type=Path), help=f"The file; instead of {_SETTING}.")


@keys.command()
@_file
@click.option("--name", required=True, help="Who or what it is for.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(["query", "metrics", "admin"]),
    multiple=True,
    default=["query"],
    show_default=True,
    help="What it may do; can be given more than once.",
)
@click.option("--user", "user_id", help="The only user_id it may ask for; any when left out.")
@click.option("--rate-limit", help="Its own limit instead of the service's, such as 60/minute.")
@click.option("--tokens-per-day", type=int, help="Language model tokens it may use in a day.")
@click.option(
    "--expires", "days", type=click.IntRange(1, 36_500), help="Days until it ends; never when left out."
)
def create(file: Path | None, scopes: Sequence[str], days: int | None, **given: Any) -> None:
    """Make a key and print it, this once."""
    from pydantic import ValidationError

    from agent_service.access.key import Key, digest_of, new_secret
    from agent_service.access.key_file import add_key

    path, at = _path(file), datetime.now(timezone.utc).replace(microsecond=0)
    key_id, secret = new_secret()
    try:
        key = Key.model_validate(
            {
                "id": key_id,
                "sha256": digest_of(secret).hex(),
                "scopes": frozenset(scopes),
                "created_at": at,
                "expires_at": None if days is None else at + timedelta(days=days),
                **given,
            }
        )
    except ValidationError as error:
        raise _usage_error(error.errors()) from None
    with _told():
        add_key(path, key)
    click.echo(f"Key {key_id} for {key.name} is in {path}. It is shown only here:", err=True)
    click.echo(secret)


@keys.command(name="list")
@_file
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def list_(file: Path | None, *, as_json: bool) -> None:
    """Show what is known of each key; the keys themselves are not kept."""
    from agent_service.access.key_file import read_keys

    path = _path(file)
    with _told():
        found = [_shown(key) for key in read_keys(path)]
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif not found:
        click.echo(f"There are no keys in {path}.", err=True)
    else:
        _echo_table([[_cell(name, key[name]) for name in _COLUMNS] for key in found])


@keys.command()
@_file
@click.argument("key_id", metavar="ID")
def revoke(file: Path | None, key_id: str) -> None:
    """Take a key out, for good."""
    from agent_service.access.key_file import remove_key

    path = _path(file)
    with _told():
        removed = remove_key(path, key_id)
    if removed is None:
        raise click.ClickException(f"There is no key {key_id} in {path}.")
    click.echo(f"Key {key_id} for {removed.name} is revoked.", err=True)


def _path(given: Path | None) -> Path:
    """Where the keys are."""
    from agent_service.config.sources import SettingsError, variables

    if given is not None:
        return given
    try:
        named = variables(os.environ, _DOTENV, [_SETTING]).get(_SETTING)
    except SettingsError as error:
        raise click.UsageError(str(error)) from None
    if named is None:
        raise click.UsageError(f"Say where the keys are: set {_SETTING}, or give --file.")
    return Path(named)


@contextmanager
def _told() -> Iterator[None]:
    """Within, what is wrong with the file ends the command with a sentence."""
    from agent_service.access.watched_file import UnreadableError

    try:
        yield
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from error
    except UnreadableError as error:
        raise click.ClickException(f"The file {error}.") from error


def _usage_error(problems: Sequence[Any]) -> click.UsageError:
    options = {"user_id": "user", "scopes": "scope"}
    told = [
        f"--{options.get(name, name).replace('_', '-')}: {at['msg']}"
        for at in problems
        for name in [at["loc"][0]]
    ]
    return click.UsageError("; ".join(told))


def _shown(key: Key) -> dict[str, Any]:
    facts = key.model_dump(mode="json", exclude={"sha256"})
    return {name: sorted(facts[name]) if name == "scopes" else facts[name] for name in _COLUMNS}


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == "scopes":
        return ",".join(value)
    return str(value)[:_MINUTE_CHARS].replace("T", " ") if name.endswith("_at") else str(value)


def _echo_table(rows: Sequence[Sequence[str]]) -> None:
    lines = [[name.upper().replace("_", " ") for name in _COLUMNS], *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
