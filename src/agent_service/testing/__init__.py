"""For tests, yours and ours: programs served in process with a scripted language model, and doubles.

docs/testing.md shows how to use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_service.testing.doubles import FakeClock, FakeTimer, RecordingObserver, ScriptedProgram

if TYPE_CHECKING:
    from agent_service.testing.answers import ProgramAnswer, ToolStep
    from agent_service.testing.replies import (
        NEVER,
        ModelRequest,
        Reply,
        ScriptError,
        rate_limited,
        unavailable,
    )
    from agent_service.testing.serving import (
        ServedProgram,
        SyncProgram,
        serve_program,
        serve_program_sync,
    )

__all__ = [
    "NEVER",
    "FakeClock",
    "FakeTimer",
    "ModelRequest",
    "ProgramAnswer",
    "RecordingObserver",
    "Reply",
    "ScriptError",
    "ScriptedProgram",
    "ServedProgram",
    "SyncProgram",
    "ToolStep",
    "rate_limited",
    "serve_program",
    "serve_program_sync",
    "unavailable",
]

_ROOMS = ("answers", "replies", "serving")


def __getattr__(name: str) -> Any:
    """The kit's parts, when they are asked for: DSPy takes seconds to import."""
    from importlib import import_module  # noqa: PLC0415 - as above

    if name in __all__:
        for room in _ROOMS:
            module = import_module(f"agent_service.testing.{room}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
