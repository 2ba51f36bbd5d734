"""What is served, and with which tools."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel

from agent_service.config.values import CaseBlind, ImportString, ImportStrings, setting


class ProgramSettings(BaseModel):
    """What is served, and with which tools."""

    agent_program: ImportString | None = setting(
        "the program that is served: a `dspy.Module`, a class of one, or a factory",
        allowed="`package.module:attribute`",
        shown="the built-in agent",
    )
    agent_tools: ImportStrings = setting(
        "tools of the built-in agent",
        (),
        allowed="`package.module:function`, comma-separated",
        shown="the built-in tools",
    )
    agent_fast_path: Annotated[Literal["on", "off"], CaseBlind] = setting(
        "DSPy's own modules work out once what never changes, instead of at each call",
        "on",
        allowed="`on` or `off`",
    )
    agent_max_tool_steps: int | None = setting("tool calls of one query", low=0, high=100_000)
    agent_max_steps: int = setting("steps of the built-in agent", 10, low=1, high=100)
    agent_tool_timeout_secs: float = setting("time of one tool call", 20.0, low=0.1, high=3600)
