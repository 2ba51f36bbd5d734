"""Serves any ``dspy.Module``: its LMs and tools go through the seams, each query has a context of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dspy

from agent_service.core.errors import ServiceError
from agent_service.core.run import Run, RunStoppedError
from agent_service.programs.base import LoadNumbers, Program, ProgramReply, ProgramSpec, Upstream
from agent_service.programs.context import running
from agent_service.programs.conversation import render
from agent_service.programs.errors import translate
from agent_service.programs.fast import prepare
from agent_service.programs.lm.offline import OFFLINE_MODEL, OfflineEngine, OfflineTransport
from agent_service.programs.specs import without_json
from agent_service.programs.streams.answer_predictor import mark_answer_predictor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_service.core.messages import Turn
    from agent_service.programs.fast import Acceleration
    from agent_service.programs.fields import Fields
    from agent_service.programs.shared_parts import SharedParts


_log = logging.getLogger(__name__)


class DspyProgram(Program):
    """One module, ready to answer many queries at once.

    Args:
        module: shared by all queries, as DSPy's own modules allow; at the seams already.
        lm: the LM for predictors that name none, at the seam already.
        spec: what the service knows of it.
        fields: its inputs and outputs.
        parts: what it has in common with the other programs of the service.
        acceleration: what of it the fast path took; None when that is off.
        warm_up: inputs to run it on once, against the offline rules, before the first query; None for a
            module whose side effects are not ours to cause, or that is prepared without a run.
    """

    def __init__(
        self,
        module: dspy.Module,
        *,
        lm: dspy.LM,
        spec: ProgramSpec,
        fields: Fields,
        parts: SharedParts,
        acceleration: Acceleration | None = None,
        warm_up: Mapping[str, Any] | None = None,
    ) -> None:
        self.spec = spec
        self.acceleration = acceleration
        self.left_out = without_json(fields)
        self._module = module
        self._lm = lm
        self._fields = fields
        self._parts = parts
        self._upstreams = parts.upstreams
        self._warm_up = warm_up
        self._is_async = has_aforward(module)
        answers = {spec.answer_output} if spec.answer_output is not None else fields.promised
        self._needed = frozenset(answers)

    async def start(self) -> None:
        """Start what it shares with others, and compile what its queries need."""
        if self.spec.answer_output is not None:
            mark_answer_predictor(self._module, self.spec.answer_output)
        await self._parts.start()
        prepare(self._module, self._lm)
        if self._warm_up is not None:
            with dspy.context(
                lm=dspy.LM(
                    OFFLINE_MODEL, engine=OfflineEngine(), async_engine=OfflineTransport(), cache=False
                ),
                disable_history=True,
                trace=None,
            ):
                await self._module.acall(**self._warm_up)

    async def close(self) -> None:
        """Close what it shares with others, which end with it."""
        await self._parts.close()

    def refusal(self) -> ServiceError | None:
        """Why no query can be run now: the breaker of its LM is open."""
        return self._upstreams.refusal(self._lm)

    def upstreams(self) -> tuple[Upstream, ...]:
        """How its language models stand."""
        return self._upstreams.standing()

    def load(self) -> tuple[LoadNumbers, ...]:
        """How loaded each of them is."""
        return self._upstreams.numbers()

    def reset_upstreams(self) -> None:
        """Close its breakers by hand."""
        self._upstreams.reset()

    async def run(self, run: Run, inputs: Mapping[str, Any], conversation: Sequence[Turn]) -> ProgramReply:
        """Answer once. See ``Program.run``."""
        arguments = {name: inputs[name] for name in self._fields.inputs if name in inputs}
        if self._fields.conversation is not None:
            arguments[self._fields.conversation] = self._rendered(conversation)
        try:
            outputs = self._outputs(await self._predict(run, arguments))
        except (RunStoppedError, ServiceError):
            raise
        except (Exception, SystemExit, KeyboardInterrupt, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _is_cancelled():
                raise
            _raise_if_stopped(run, error)
            raise translate(error) from error
        _raise_if_stopped(run)
        return ProgramReply(outputs=outputs, model=run.answered_by or self.spec.model)

    def _rendered(self, conversation: Sequence[Turn]) -> Any:
        spec = self.spec
        question, answer = (spec.question_input, spec.answer_output) if spec.is_plain else (None, None)
        return render(self._fields.conversation_type, conversation, question=question, answer=answer)

    async def _predict(self, run: Run, arguments: dict[str, Any]) -> Any:
        with running(run, self._lm), run.interruptible():
            if self._is_async:
                return await self._module.acall(**arguments)
            return await self._parts.threads.do(run, lambda: self._module(**arguments))

    def _outputs(self, prediction: Any) -> dict[str, Any]:
        # Not by attribute: a field may be called as one of the Prediction's methods is.
        given = prediction if isinstance(prediction, (dspy.Prediction, Mapping)) else {}
        if given is not prediction and prediction is not None and self.spec.answer_output is not None:
            given = {self.spec.answer_output: prediction}
        if not self._needed <= set(given.keys()):
            missing = ", ".join(sorted(self._needed - set(given.keys())))
            told = f"the program returned a {type(prediction).__name__} without {missing}"
            _log.error("%s: %s", self.spec.name, told)
            raise TypeError(told)
        return {name: given[name] for name in self._fields.outputs if name in given}


def has_aforward(module: dspy.Module) -> bool:
    """Whether the module has an async side of its own.

    One that is inherited past the module's own ``forward``, as DSPy's CodeAct does, is another program; that
    of DSPy's RLM blocks the loop while its sandbox works.
    """
    order = type(module).__mro__
    asynchronous, synchronous = (
        next((place for place, kind in enumerate(order) if name in vars(kind)), len(order))
        for name in ("aforward", "forward")
    )
    return asynchronous < len(order) and asynchronous <= synchronous and not isinstance(module, dspy.RLM)


def _raise_if_stopped(run: Run, error: BaseException | None = None) -> None:
    """A program that handled the stop as an error of its own has no answer to give."""
    stopped = run.stopped_error()
    if stopped is not None:
        raise stopped from error


def _is_cancelled() -> bool:
    """Whether the current task was cancelled from outside. Python 3.10 cannot tell; there it counts so."""
    cancelling = getattr(asyncio.current_task(), "cancelling", None)
    return cancelling is None or cancelling() > 0
