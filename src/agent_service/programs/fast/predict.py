"""The fast twins of ``dspy.Predict`` and ``dspy.ChainOfThought``."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import dspy
from dspy.utils.exceptions import AdapterParseError

from agent_service.programs.fast.compiled import Refused, lean_of, share, ways_of
from agent_service.programs.fast.internals import (
    METHODS,
    is_quiet,
    prediction_of,
    settings_in_effect,
    state_of,
)
from agent_service.programs.fast.lean_lm import is_lean
from agent_service.programs.fast.lm_internals import json_fallback, kind_of
from agent_service.programs.streams.answer_predictor import written_by

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from contextlib import AbstractContextManager

    from dspy import lm15
    from typing_extensions import Self

    from agent_service.programs.fast.lean_lm import LeanLM
    from agent_service.programs.fast.plans.plan import Plan
    from agent_service.programs.fast.plans.tool_plan import ToolPlan

T = TypeVar("T")


class Twin(dspy.Module):
    """To everybody else the stock module: saved, pickled and shown as one, copied as a twin."""

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        stock = next(kind for kind in type(self).__mro__ if not issubclass(kind, Twin))
        return object.__new__, (stock,), self.__getstate__()

    def __copy__(self) -> Self:
        copied = self._blank()
        copied.__setstate__(self.__getstate__())
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        memo[id(self)] = copied = self._blank()
        copied.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return copied

    def _blank(self) -> Self:
        """A twin without state."""
        return type(self).__new__(type(self))


def passing_for(stock: type[dspy.Module]) -> Callable[[type[T]], type[T]]:
    """Class decorator: by name, place and source it is ``stock``, which programs show to language models."""

    def pass_for(twin: type[T]) -> type[T]:
        for name in ("__module__", "__name__", "__qualname__", "__doc__", "__firstlineno__"):
            if hasattr(stock, name):
                setattr(twin, name, getattr(stock, name))
        return twin

    return pass_for


_UNWATCHED = nullcontext()


@passing_for(dspy.Predict)
class FastPredict(Twin, dspy.Predict):
    """Asks through a compiled plan where there is one; otherwise it is ``dspy.Predict``."""

    def _blank(self) -> Self:
        """One with what was compiled."""
        blank = super()._blank()
        share(self, blank)
        return blank

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        """As ``dspy.Predict.acall``."""
        call = None if args else _Call.of(self, kwargs)
        if call is None:
            return await super().acall(*args, **kwargs)
        try:
            fields = call.lean.draft.fields(await call.acomplete())
        except AdapterParseError:
            if not call.has_second_chance:
                raise
            return await call.aask_again()
        return call.prediction(prediction_of(fields, call.plan.signature))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As ``dspy.Predict.__call__``."""
        call = None if args else _Call.of(self, kwargs)
        if call is None:
            return super().__call__(*args, **kwargs)
        try:
            fields = call.lean.draft.fields(call.complete())
        except AdapterParseError:
            if not call.has_second_chance:
                raise
            return call.ask_again()
        return call.prediction(prediction_of(fields, call.plan.signature))


@passing_for(dspy.ChainOfThought)
class FastChainOfThought(Twin, dspy.ChainOfThought):
    """Asks its predictor at once where nobody is to know that it was asked itself."""

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        """As ``dspy.ChainOfThought.acall``."""
        if args or not is_unobserved(self, settings_in_effect()):
            return await super().acall(*args, **kwargs)
        return await state_of(self)["predict"].acall(**kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As ``dspy.ChainOfThought.__call__``."""
        if args or not is_unobserved(self, settings_in_effect()):
            return super().__call__(*args, **kwargs)
        return state_of(self)["predict"](**kwargs)


def is_unobserved(module: dspy.Module, settings: Mapping[str, Any]) -> bool:
    """Whether a call of ``module`` is known to nobody else, and does what its class says."""
    state = state_of(module)
    return is_quiet(settings) and not state["callbacks"] and METHODS.isdisjoint(state)


class _Call:
    """One call that DSPy would make just so."""

    __slots__ = ("lean", "plan", "predict", "request", "settings", "values")

    def __init__(
        self,
        predict: dspy.Predict,
        *,
        settings: Mapping[str, Any],
        plan: Plan | ToolPlan,
        lean: LeanLM,
        values: dict[str, Any],
        request: lm15.Request,
    ) -> None:
        self.predict = predict
        self.settings = settings
        self.plan = plan
        self.lean = lean
        self.values = values
        self.request = request

    @classmethod
    def of(cls, predict: dspy.Predict, given: dict[str, Any]) -> _Call | None:
        """The call, or None when it needs more than the plan. Nothing has happened then."""
        settings = settings_in_effect()
        state = state_of(predict)
        if state["fields"] or not is_unobserved(predict, settings):
            return None
        lm = state["lm"] or settings["lm"]
        kind = kind_of(settings["adapter"])
        if kind is None or not is_lean(lm):
            return None
        ways = ways_of(predict, state, kind)
        if isinstance(ways, Refused):
            return None
        values = ways.plan.values(given)
        lean = None if values is None else lean_of(ways, lm, state["config"], values)
        if values is None or lean is None:
            return None
        request = lean.request(values)
        if request is None:
            return None
        return cls(predict, settings=settings, plan=ways.plan, lean=lean, values=values, request=request)

    @property
    def has_second_chance(self) -> bool:
        """Whether an answer that cannot be read is asked for again, in JSON."""
        return type(self.plan.adapter) is dspy.ChatAdapter

    def prediction(self, prediction: dspy.Prediction) -> dspy.Prediction:
        """Note it in the trace, as ``dspy.Predict`` does."""
        trace, most = self.settings["trace"], self.settings["max_trace_size"]
        if trace is not None and most > 0:
            if len(trace) >= most:
                trace.pop(0)
            trace.append((self.predict, dict(self.values), prediction))
        return prediction

    def complete(self) -> Any:
        """Ask the LM."""
        with self._at_work():
            return self.lean.complete(self.request)

    def acomplete(self) -> Coroutine[None, None, Any]:
        """The same for asynchronous code."""
        return self._acomplete_watched() if self.settings["callbacks"] else self.lean.acomplete(self.request)

    async def _acomplete_watched(self) -> Any:
        with self._at_work():
            return await self.lean.acomplete(self.request)

    def ask_again(self) -> dspy.Prediction:
        """The second call that follows an answer which could not be read, and its prediction."""
        with dspy.context(send_stream=None), self._at_work():
            return self._read_again(json_fallback(self.plan.adapter)(**self._second()))

    async def aask_again(self) -> dspy.Prediction:
        """The same for asynchronous code."""
        with dspy.context(send_stream=None), self._at_work():
            return self._read_again(await json_fallback(self.plan.adapter).acall(**self._second()))

    def _at_work(self) -> AbstractContextManager[None]:
        """Within, those who watch the run know which predictor writes."""
        return written_by(self.predict) if self.settings["callbacks"] else _UNWATCHED

    def _second(self) -> dict[str, Any]:
        state = state_of(self.predict)
        return {
            "lm": self.lean.lm,
            "lm_kwargs": dict(self.lean.draft.settings),
            "signature": self.plan.signature,
            "demos": state["demos"],
            "inputs": self.values,
        }

    def _read_again(self, completions: list[dict[str, Any]]) -> dspy.Prediction:
        return self.prediction(dspy.Prediction.from_completions(completions, signature=self.plan.signature))
