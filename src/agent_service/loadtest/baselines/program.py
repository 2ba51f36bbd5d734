"""The program that the service serves, for those who serve it themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy

from agent_service.config import Settings
from agent_service.config.options import program_options
from agent_service.programs.conversation import render
from agent_service.programs.default_agent import default_agent
from agent_service.programs.fields import fields_of
from agent_service.programs.loader import load_module, load_tool

if TYPE_CHECKING:
    from collections.abc import Callable


def served_program() -> tuple[dspy.Module, Callable[[str], dict[str, Any]]]:
    """The program of the settings, and what makes its inputs of a question: they are those of a first turn.

    Raises:
        LoadError: when it cannot be served.
        SettingsError: when the settings are wrong.
    """
    settings = Settings.load(dotenv_path=Path(".env"))
    path = program_options(settings).programs[0].path
    if path is not None:
        program = load_module(path)
    else:
        tools = [load_tool(path) for path in settings.agent_tools]
        program = default_agent(tools, max_steps=settings.agent_max_steps)
    fields = fields_of(program)

    def inputs(question: str) -> dict[str, Any]:
        values: dict[str, Any] = {fields.question_input: question}
        if fields.conversation is not None:
            nothing = render(fields.conversation_type, (), question="question", answer="answer")
            values[fields.conversation] = nothing
        return values

    return program, inputs


def language_model() -> dspy.LM:
    """The language model of the settings, as DSPy makes it; without its cache, or it would not be asked."""
    settings = Settings.load(dotenv_path=Path(".env"))
    given: dict[str, str] = {}
    if settings.agent_api_base is not None:
        given["api_base"] = settings.agent_api_base
    if settings.agent_api_key is not None:
        given["api_key"] = settings.agent_api_key.get_secret_value()
    return dspy.LM(settings.agent_model, cache=False, **given)
