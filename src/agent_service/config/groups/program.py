"""What is served, and with which tools."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic evaluates the annotations
from typing import Annotated, Literal

from pydantic import BaseModel

from agent_service.config.program_names import Programs, States  # noqa: TC001 - as above
from agent_service.config.values import CaseBlind, ImportStrings, setting


class ProgramSettings(BaseModel):
    """What is served, and with which tools."""

    agent_program: Programs = setting(
        "what is served: a `dspy.Module`, a class of one, or a factory; several by name, the first is the "
        "default, and `builtin` is the built-in agent",
        (),
        allowed="`package.module:attribute`, or `name=package.module:attribute` comma-separated with "
        "different names of a-z, 0-9, `_` and `-`",
        shown="the built-in agent",
    )
    agent_program_state: States = setting(
        "JSON saved by `program.save(...)`, such as an optimised program",
        (),
        allowed="a path of a JSON file, or `name=path` comma-separated",
        shown="-",
    )
    agent_tools: ImportStrings = setting(
        "tools of the built-in agent, and of programs that ask for tools",
        (),
        allowed="`package.module:function`, comma-separated",
        shown="the built-in tools",
    )
    agent_mcp_servers: Path | None = setting(
        "a file of MCP servers, whose tools the built-in agent gets, and programs that ask for tools",
        allowed="a path of a JSON file in the `mcpServers` form",
    )
    agent_fast_path: Annotated[Literal["on", "off"], CaseBlind] = setting(
        "DSPy's own modules work out once what never changes, instead of at each call",
        "on",
        allowed="`on` or `off`",
    )
    agent_max_tool_steps: int | None = setting("tool calls of one query", low=0, high=100_000)
    agent_max_steps: int = setting("steps of the built-in agent", 10, low=1, high=100)
    agent_tool_timeout_secs: float = setting("time of one tool call", 20.0, low=0.1, high=3600)
