"""What is logged, and in which form."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from pydantic import BaseModel

from agent_service.config.values import LOG_LEVELS, CaseBlind, LogLevels, setting


class LogSettings(BaseModel):
    """What is logged, and in which form."""

    log_format: Annotated[Literal["json", "pretty"], CaseBlind] = setting(
        "form of a log line",
        allowed="`json` or `pretty`",
        factory=lambda _: "pretty" if sys.stdout.isatty() else "json",
        shown="`pretty` on a terminal, else `json`",
    )
    log_level: LogLevels = setting(
        "the lowest level that is logged, also by logger: `info,agent_service.programs=debug`",
        "info",
        allowed=f"one of {', '.join(f'`{level}`' for level in LOG_LEVELS)}; `logger=level` for one logger",
    )
