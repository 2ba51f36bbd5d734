"""``agent-service check``: load what would be served, and say what it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent_service.programs.base import ProgramSpec
    from agent_service.programs.fast import Acceleration

_DOTENV = Path(".env")
_USAGE_ERROR = 2
_WIDTH = 14


@click.command(epilog="Exit status: 0 can be served, 1 cannot be loaded, 2 wrong settings.")
@click.pass_context
def check(context: click.Context) -> None:
    """Load the program with its settings, without serving it or asking a model.

    Says what its fields and tools are, what is accelerated, and what is left to DSPy and why.
    """
    from dotenv import load_dotenv

    from agent_service.config import Settings, SettingsError

    try:
        settings = Settings.load(os.environ, dotenv_path=_DOTENV)
    except SettingsError as error:
        click.echo(error, err=True)
        context.exit(_USAGE_ERROR)
    load_dotenv(_DOTENV, interpolate=False, encoding="utf-8-sig")
    from agent_service.bootstrap.program import build_program
    from agent_service.core.clock import SystemClock
    from agent_service.core.observer import Observers
    from agent_service.programs.loader import LoadError

    try:
        program = build_program(settings, clock=SystemClock(), observer=Observers())
    except LoadError as error:
        raise click.ClickException(str(error)) from error
    for name, value in _described(program.spec, program.acceleration):
        click.echo(f"{click.style(name.ljust(_WIDTH), bold=True)}{value}")


def _described(spec: ProgramSpec, acceleration: Acceleration | None) -> Iterator[tuple[str, str]]:
    yield "program", spec.name
    yield "model", spec.model
    yield "inputs", ", ".join(spec.inputs)
    yield "outputs", ", ".join(spec.outputs)
    yield "question", f"goes to {spec.question_input}, the answer is {spec.answer_output}"
    yield "tools", ", ".join(spec.tools) or "none"
    if acceleration is None:
        yield "accelerated", "nothing: AGENT_FAST_PATH is off"
        return
    yield "accelerated", ", ".join(acceleration.fast) or "nothing"
    for name, reason in acceleration.stock.items():
        yield "left to DSPy", f"{name}: {reason}"
