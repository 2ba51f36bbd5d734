"""A model and those that answer in its place when it cannot, in order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dspy import lm15

from agent_service.core.observer import FallbackTaken
from agent_service.programs.context import current_run
from agent_service.programs.lm.seam import RefusedError
from agent_service.programs.lm.verdicts import may_fall_back

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_service.core.errors import ServiceError
    from agent_service.programs.lm.lean_chat import PlainReply
    from agent_service.programs.lm.seam import LMSeam, Transport


class ModelChain:
    """Calls the first model that answers. Once somebody has read some of a reply there is no other.

    Args:
        seams: the model, then its fallbacks; each has a breaker, retries and a limit of its own.
    """

    def __init__(self, seams: Sequence[LMSeam]) -> None:
        self.seams = tuple(seams)

    def __repr__(self) -> str:
        return f"<ModelChain {list(self.seams)}>"

    def refusal(self) -> ServiceError | None:
        """Why a call would be refused by every model now, or None; the first model's reason."""
        refusals = [seam.breaker.refusal() for seam in self.seams]
        return None if None in refusals else refusals[0]

    async def complete(
        self, request: lm15.Request, transports: Sequence[Transport] | None = None
    ) -> lm15.Response | PlainReply:
        """The first answer; see ``LMSeam.complete``. What is raised is the last model's failure.

        ``transports`` replace the seams' own on another event loop.
        """
        run = current_run()
        for number, seam in enumerate(self.seams):
            transport = transports[number] if transports else None
            try:
                asked = request if request.model == seam.model else replace(request, model=seam.model)
                response = await seam.complete(asked, transport, run=run)
            except (RefusedError, lm15.LM15Error) as error:
                following = self.seams[number + 1 : number + 2]
                if not following or not may_fall_back(error):
                    raise
                if run is not None:
                    run.emit(FallbackTaken(run.request_id, seam.model, following[0].model))
            else:
                if run is not None:
                    run.answered_by = seam.model
                return response
        raise AssertionError("a chain has at least one model")  # pragma: no cover
