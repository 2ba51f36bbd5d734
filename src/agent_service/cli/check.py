"""``agent-service check``: load what would be served, and say what it is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from agent_service.config import Settings
    from agent_service.config.settings import SettingRow
    from agent_service.programs.base import ProgramSpec
    from agent_service.programs.fast import Acceleration

_DOTENV = Path(".env")
_USAGE_ERROR = 2
_WIDTH = 14
_SETTINGS = "settings"


@click.command(epilog="Exit status: 0 can be served, 1 cannot be loaded, 2 wrong settings.")
@click.argument("program", required=False)
@click.option("--all", "is_whole", is_flag=True, help="Print the settings that are not set too.")
@click.pass_context
def check(context: click.Context, /, *, program: str | None, is_whole: bool) -> None:
    """Load the program with its settings, without serving it or asking a model.

    PROGRAM is package.module:attribute, instead of AGENT_PROGRAM. Says what its fields and tools are, what is
    accelerated, what is left to DSPy and why; then what is set and where it was read, secrets as ***.
    """
    from dotenv import load_dotenv

    from agent_service.config import Settings, SettingsError

    arguments = {"AGENT_PROGRAM": program} if program else {}
    try:
        settings = Settings.load({**os.environ, **arguments}, dotenv_path=_DOTENV)
    except SettingsError as error:
        click.echo(error, err=True)
        context.exit(_USAGE_ERROR)
    said = _settings(settings, arguments, is_whole=is_whole)
    load_dotenv(_DOTENV, interpolate=False, encoding="utf-8-sig")
    from agent_service.bootstrap.program import build_programs
    from agent_service.core.clock import SystemClock
    from agent_service.core.observer import Observers
    from agent_service.programs.loader import LoadError

    try:
        programs = build_programs(settings, clock=SystemClock(), observer=Observers())
    except LoadError as error:
        raise click.ClickException(str(error)) from error
    for each in programs:
        _print(_described(each.spec, each.acceleration, each.left_out))
        click.echo()
    _print(said)


def _print(lines: Iterable[tuple[str, str]]) -> None:
    for name, value in lines:
        click.echo(f"{click.style(name.ljust(_WIDTH), bold=True)}{value}".rstrip())


def _settings(settings: Settings, arguments: Mapping[str, str], *, is_whole: bool) -> list[tuple[str, str]]:
    """What is set, or everything, with where it was read: in columns, the first line with its heading."""
    from agent_service.config.sources import GivenValue, given_values, shown

    rows = settings.table()
    given = given_values(os.environ, _DOTENV, [row.name for row in rows], arguments=arguments)
    told = {name: GivenValue(shown(name, each.value), each.source) for name, each in given.items()}
    if is_whole:
        told = {
            row.name: told.get(row.name) or GivenValue(_default(settings, row), "default") for row in rows
        }
    if not told:
        return [(_SETTINGS, "none is set: all have their defaults, which --all prints")]
    name_width, value_width = (
        max(map(len, column)) for column in (told, [each.value for each in told.values()])
    )
    lines = [f"{name:{name_width}}  {each.value:{value_width}}  {each.source}" for name, each in told.items()]
    return [(_SETTINGS if not number else "", line) for number, line in enumerate(lines)]


def _default(settings: Settings, row: SettingRow) -> str:
    """The value that stands for one that is not set; where there is none, what is used instead."""
    value = getattr(settings, row.name.lower())
    if value is None or value == ():
        return row.default.replace("`", "")
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _described(
    spec: ProgramSpec, acceleration: Acceleration | None, left_out: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    yield "program", spec.name
    yield "model", spec.model
    if spec.version is not None:
        yield "version", f"{spec.version}, of its saved state"
    yield "inputs", _fields(spec.interface.input_schema)
    yield "outputs", _fields(spec.interface.output_schema)
    for name, reason in left_out.items():
        yield "not served", f"{name} {reason}"
    yield "question", _question(spec)
    yield "tools", ", ".join(spec.tools) or "none"
    yield from _accelerated(acceleration)


def _fields(schema: Mapping[str, Any]) -> str:
    """Names and types, those that may be missing with a question mark."""
    needed = schema.get("required", ())
    return ", ".join(
        f"{name}{'' if name in needed else '?'}: {_type(field)}"
        for name, field in schema["properties"].items()
    )


def _type(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"], ensure_ascii=False)
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " | ".join(map(_type, schema["anyOf"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type", "anything"))


def _question(spec: ProgramSpec) -> str:
    if spec.is_plain:
        return f"goes to {spec.question_input}, the answer is {spec.answer_output}"
    reason = "it has no one answer" if spec.answer_output is None else "it takes more than a text"
    return f"none, as {reason}: it is asked at /api/v1/programs/{spec.name}/query only"


def _accelerated(acceleration: Acceleration | None) -> Iterator[tuple[str, str]]:
    if acceleration is None:
        yield "accelerated", "nothing: AGENT_FAST_PATH is off"
        return
    yield "accelerated", ", ".join(acceleration.fast) or "nothing"
    for name, reason in acceleration.stock.items():
        yield "left to DSPy", f"{name}: {reason}"
