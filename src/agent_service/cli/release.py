"""``agent-service release``: keep saved states of a program, try one out, make it active, take it back."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from agent_service.cli.inventory import document_of, lines_of, standing_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from agent_service.config import Settings
    from agent_service.releases.operator import Inventory, ReleaseOperator

_T = TypeVar("_T")

_DOTENV = Path(".env")
_NOT_KEPT = (
    "Say where releases are kept: set AGENT_RELEASES_PATH to a folder, or to redis for that of REDIS_URL; "
    "for the service too."
)


@click.group()
def release() -> None:
    """Keep saved states of a program, try one out, make it active, take it back.

    They are where AGENT_RELEASES_PATH says: in a folder, or in Redis. A service that runs with the same
    setting takes a change within about a second.
    """


_program = click.option("--program", metavar="NAME", help="Whose they are, where several are served.")
_json = click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")


@release.command()
@click.argument("state", type=click.Path(exists=True, path_type=Path), metavar="STATE.json")
@_program
@click.option("--note", default="", help="What is to be said of it.")
def add(state: Path, program: str | None, note: str) -> None:
    """Keep what program.save("STATE.json") wrote, and print its version.

    The program is loaded with it first; nothing is asked of a model. No conversation is answered with it
    before it is activated.
    """
    settings = _settings()
    name = _named(settings, program)
    data = _content(state)
    added = _done(settings, lambda operator: operator.add(name, data, note=note))
    click.echo(f"{state} is a release of {name}. `agent-service release activate` lets it answer.", err=True)
    click.echo(added.version)


@release.command()
@click.argument("version")
@_program
@click.option(
    "--percent",
    type=click.FloatRange(0, 100, min_open=True),
    default=100,
    show_default=True,
    help="Of the conversations that it answers; less than 100 tries it out.",
)
def activate(version: str, program: str | None, percent: float) -> None:
    """Let VERSION answer: everybody, or a share of the conversations.

    VERSION is a version that `list` shows, the beginning of one, or `base` for the program without a release.
    """
    settings = _settings()
    name = _named(settings, program)
    _echo_changed(_done(settings, lambda operator: operator.activate(name, version, percent=percent)))


@release.command()
@_program
def rollback(program: str | None) -> None:
    """End the trial, or go back to what was active before."""
    settings = _settings()
    name = _named(settings, program)
    _echo_changed(_done(settings, lambda operator: operator.roll_back(name)))


@release.command(name="list")
@_program
@_json
def list_(program: str | None, *, as_json: bool) -> None:
    """Show what there is, oldest first, and what answers."""
    settings = _settings()
    names = _names(settings) if program is None else [_named(settings, program)]

    async def inventories(operator: ReleaseOperator) -> list[Inventory]:
        return [await operator.inventory(name) for name in names]

    found = _done(settings, inventories)
    if as_json:
        click.echo(json.dumps([document_of(inventory) for inventory in found], indent=2))
        return
    for number, inventory in enumerate(found):
        if number:
            click.echo()
        click.echo("\n".join(lines_of(inventory)))


def _settings() -> Settings:
    from agent_service.config import Settings, SettingsError

    try:
        return Settings.load(os.environ, dotenv_path=_DOTENV)
    except SettingsError as error:
        raise click.UsageError(str(error)) from None


def _names(settings: Settings) -> list[str]:
    from agent_service.config.program_names import named_programs

    return [each.name for each in named_programs(settings.agent_program, settings.agent_program_state)]


def _named(settings: Settings, given: str | None) -> str:
    """The program that is meant; there is no saying which of several is."""
    names = _names(settings)
    if given in names:
        return given
    if given is not None:
        raise click.UsageError(f"No program {given} is served; AGENT_PROGRAM names {', '.join(names)}.")
    if len(names) > 1:
        raise click.UsageError(f"Several programs are served; say whose with --program: {', '.join(names)}.")
    return names[0]


def _content(state: Path) -> bytes:
    from agent_service.programs.loader import LoadError
    from agent_service.programs.state import read_state

    try:
        return read_state(str(state))
    except LoadError as error:
        raise click.ClickException(str(error)) from None


def _check(settings: Settings, program: str, state: bytes) -> None:
    """Load the program with it, as a service would.

    Raises:
        ReleaseError: it cannot be served with it.
    """
    from dotenv import load_dotenv

    load_dotenv(_DOTENV, interpolate=False, encoding="utf-8-sig")
    from agent_service.bootstrap.program import made_programs, program_makers
    from agent_service.bootstrap.shelf import state_check
    from agent_service.core.clock import SystemClock
    from agent_service.core.observer import Observers
    from agent_service.programs.loader import LoadError
    from agent_service.releases.base import ReleaseError

    try:
        made_programs(makers := program_makers(settings, clock=SystemClock(), observer=Observers()), settings)
    except LoadError as error:
        raise ReleaseError(str(error)) from error
    state_check(makers)(program, state)


def _done(settings: Settings, work: Callable[[ReleaseOperator], Awaitable[_T]]) -> _T:
    """What ``work`` gives; what cannot be done ends the command with a sentence."""
    from agent_service.releases.base import ReleaseError

    async def done() -> _T:
        async with _operator(settings) as operator:
            return await work(operator)

    try:
        return asyncio.run(done())
    except ReleaseError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        told = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise click.ClickException(f"The releases cannot be reached: {told}") from None


@asynccontextmanager
async def _operator(settings: Settings) -> AsyncIterator[ReleaseOperator]:
    from agent_service.bootstrap.shelf import open_shelf
    from agent_service.core.clock import SystemClock
    from agent_service.releases.operator import ReleaseOperator

    opened = open_shelf(settings, clock=SystemClock())
    if opened is None:
        raise click.UsageError(_NOT_KEPT)
    try:
        yield ReleaseOperator(shelf=opened.shelf, check=partial(_check, settings))
    finally:
        await opened.close()


def _echo_changed(inventory: Inventory) -> None:
    click.echo(f"{inventory.program}: {standing_of(inventory)}.")
    click.echo("Services that run take it over within about a second.", err=True)
