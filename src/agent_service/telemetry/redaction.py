"""What no log line may show: secrets ever, and what users and models said unless it is asked for.

The libraries around the language model put prompts, answers and provider texts into their messages and
exceptions. Their words are withheld while their logger is not at debug (``LOG_LEVEL=info,dspy=debug``).
"""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Any

from agent_service.core.secrets import redacted

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MODEL_LIBRARIES", "described", "fixed_part", "redacted", "speaks_with_model"]

MODEL_LIBRARIES = ("dspy", "litellm", "LiteLLM", "LiteLLM Router", "LiteLLM Proxy", "openai")
"""Loggers, and packages, that speak with the language model."""

_TALKATIVE_PACKAGES = (*MODEL_LIBRARIES, "pydantic", "pydantic_core")
_KNOWN_BEGINNINGS = ("Ending the trajectory", "Trajectory exceeded the context window")
_MAX_FRAMES = 20
_MAX_CHAIN = 10


def speaks_with_model(logger_name: str) -> bool:
    """Whether lines of this logger can hold what users and models said, and nobody asked to see it."""
    return logger_name.split(".", 1)[0] in MODEL_LIBRARIES and not _asked_for(logger_name)


def fixed_part(record: logging.LogRecord, *, has_arguments: bool) -> str:
    """The part of a message that its author wrote, without what was put into it, and where that was."""
    text = str(record.msg)
    if not has_arguments:
        text = next((known for known in _KNOWN_BEGINNINGS if text.startswith(known)), "")
    return f"{text or 'message'} (withheld, {record.module}:{record.lineno})"


def described(error: BaseException) -> list[dict[str, Any]]:
    """An exception and what caused it, the outermost first: type, message and frames, no local variables."""
    return [
        {
            "type": f"{type(link).__module__}.{type(link).__qualname__}",
            "message": str(link) if _may_speak(link) else "(withheld)",
            "frames": [
                f"{frame.f_code.co_filename}:{line} in {frame.f_code.co_name}"
                for frame, line in list(traceback.walk_tb(link.__traceback__))[-_MAX_FRAMES:]
            ],
        }
        for link in _chain(error)
    ]


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    for _ in range(_MAX_CHAIN):
        if link is None:
            return
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _may_speak(error: BaseException) -> bool:
    package = type(error).__module__.split(".", 1)[0]
    return package not in _TALKATIVE_PACKAGES or _asked_for("dspy")


def _asked_for(logger_name: str) -> bool:
    return logging.getLogger(logger_name).isEnabledFor(logging.DEBUG)
