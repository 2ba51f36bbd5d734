"""Where a program's run is found at its seams.

The run rides in ``dspy.context``, which follows tasks, ``asyncio.to_thread``, ``dspy.asyncify`` and
``dspy.Parallel``; a plain ``threading.Thread`` of a program does not inherit it, nor anything else of DSPy's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dspy
from dspy.dsp.utils.settings import main_thread_config, thread_local_overrides
from dspy.dsp.utils.utils import dotdict

from agent_service.programs.streams.answer_predictor import AnswerWatch

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from agent_service.core.run import Run

_RUN = "agent_service_run"


class _Settings:
    """``dspy.context``; a class, because this is of every query."""

    def __init__(self, changes: dict[str, object]) -> None:
        self._changes = changes

    def __enter__(self) -> None:
        settings = dotdict({**main_thread_config, **thread_local_overrides.get(), **self._changes})
        self._token = thread_local_overrides.set(settings)

    def __exit__(self, *_: object) -> None:
        thread_local_overrides.reset(self._token)


def running(run: Run, lm: object) -> AbstractContextManager[None]:
    """Within, DSPy uses ``lm`` where a program names none, keeps nothing, and the seams find ``run``."""
    settings: dict[str, object] = {
        _RUN: run,
        "disable_history": True,
        # Not None: DSPy's BestOfN and Refine write to it. This one ends with the run.
        "trace": [],
        "track_usage": False,
        "warn_on_type_mismatch": False,
    }
    if run.is_watched:
        settings["callbacks"] = [*dspy.settings.callbacks, AnswerWatch()]
    if lm is not None:
        settings["lm"] = lm
    return _Settings(settings)


def current_run() -> Run | None:
    """The run that the calling code belongs to, or None outside of any."""
    return thread_local_overrides.get().get(_RUN)  # type: ignore[no-any-return] # DSPy has no types
