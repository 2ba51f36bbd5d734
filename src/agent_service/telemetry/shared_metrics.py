"""The metrics of all processes that serve the same address in one exposition, whichever is asked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.core.clock import sleep
from agent_service.telemetry.snapshot import exposition_of, snapshot_of

if TYPE_CHECKING:
    from agent_service.core.clock import Clock
    from agent_service.core.siblings import Facts, Siblings
    from agent_service.telemetry.metrics import Metrics

WITHIN_SECONDS = 0.1
"""A sibling that takes longer counts as of its last note."""

NOTE_SECONDS = 1.0
"""How often the numbers are noted: what was counted since is lost with a process that is killed."""


class SharedMetrics:
    """Tells the siblings the numbers of ``metrics``, and merges theirs.

    ``siblings`` answer the question ``metrics`` with one snapshot of all processes.
    """

    def __init__(self, metrics: Metrics, *, siblings: Siblings, clock: Clock) -> None:
        self._metrics = metrics
        self._siblings = siblings
        self._clock = clock
        siblings.answer_with("metrics", self._answer)

    def __repr__(self) -> str:
        return f"<SharedMetrics of {self._metrics!r}>"

    async def expose(self, accept: str = "") -> tuple[bytes, str]:
        """The exposition of all processes, and its content type; see ``written``.

        Raises:
            SiblingsSilentError: numbers of one process alone would be wrong.
        """
        if not self._siblings.are_there:
            return self._metrics.expose(accept)
        answers = await self._siblings.ask("metrics", self._snapshot(), within_seconds=WITHIN_SECONDS)
        return exposition_of(answers.facts[0], accept)

    async def run(self) -> None:
        """Note the numbers again and again until cancelled, and then once more; at once done when alone."""
        if not self._siblings.are_there:
            return
        try:
            while True:
                self._siblings.note(self._snapshot())
                await sleep(self._clock, NOTE_SECONDS)
        finally:
            self._siblings.note(self._snapshot())

    def _snapshot(self) -> Facts:
        return snapshot_of(self._metrics.families())

    async def _answer(self, _: Facts) -> Facts:
        return self._snapshot()
