"""Where a program's run is found at its seams.

The run rides in ``dspy.context``, which follows tasks, ``asyncio.to_thread``, ``dspy.asyncify`` and
``dspy.Parallel``; a plain ``threading.Thread`` of a program does not inherit it, nor anything else of DSPy's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import dspy
from dspy.dsp.utils.settings import thread_local_overrides

from agent_service.programs.streams.answer_predictor import AnswerWatch

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from agent_service.core.run import Run

_RUN = "agent_service_run"


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
    return cast("AbstractContextManager[None]", dspy.context(**settings))


def current_run() -> Run | None:
    """The run that the calling code belongs to, or None outside of any."""
    return cast("Run | None", thread_local_overrides.get().get(_RUN))
