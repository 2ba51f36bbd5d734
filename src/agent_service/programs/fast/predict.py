"""The fast twins of ``dspy.Predict`` and ``dspy.ChainOfThought``."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import dspy
from dspy.utils.exceptions import AdapterParseError

from agent_service.programs.fast.internals import (
    METHODS,
    default_kind,
    is_quiet,
    json_fallback,
    prediction_of,
    settings_in_effect,
    state_of,
)
from agent_service.programs.fast.lean_lm import LeanLM, is_lean
from agent_service.programs.fast.plans.plan import Plan
from agent_service.programs.fast.plans.snapshot import NoPlanError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dspy import lm15
    from typing_extensions import Self

T = TypeVar("T")
_MOST_LMS = 8
"""LMs remembered by one predictor; programs that copy theirs at each call would fill the memory."""


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


@passing_for(dspy.Predict)
class FastPredict(Twin, dspy.Predict):
    """Asks through a compiled plan where there is one; otherwise it is ``dspy.Predict``."""

    def _blank(self) -> Self:
        """Programs copy their parts for each attempt: a copy has the plan of the original."""
        blank = super()._blank()
        for ways in _WAYS.values():
            known = ways.get(self)
            if known is not None:
                ways[blank] = known
        return blank

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        """As ``dspy.Predict.acall``."""
        call = None if args else _Call.of(self, kwargs)
        if call is None:
            return await super().acall(*args, **kwargs)
        try:
            fields = call.fields(await call.lean.acomplete(call.request))
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
            fields = call.fields(call.lean.complete(call.request))
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


@dataclass
class _Ways:
    """What was compiled for one predictor."""

    plan: Plan
    leans: dict[int, LeanLM | _Refused] = field(default_factory=dict)


@dataclass(frozen=True)
class _Refused:
    """There is no plan for this, and looking again would find the same."""

    reason: str
    of: tuple[Any, ...]


_WAYS: dict[type[dspy.ChatAdapter], WeakKeyDictionary[dspy.Predict, _Ways | _Refused]] = {
    dspy.ChatAdapter: WeakKeyDictionary(),
    dspy.JSONAdapter: WeakKeyDictionary(),
}
"""By the adapter in use."""


def reason_against(predict: dspy.Predict) -> str | None:
    """Why a predictor's calls stay with DSPy whatever its LM; None when they need not. Compiles its plan."""
    adapter = settings_in_effect()["adapter"]
    kind = default_kind(adapter)
    if kind is None:
        return f"the adapter is a {type(adapter).__name__}, or one with options"
    ways = _ways(predict, state_of(predict), kind)
    return ways.reason if isinstance(ways, _Refused) else None


def _ways(predict: dspy.Predict, state: dict[str, Any], kind: type[dspy.ChatAdapter]) -> _Ways | _Refused:
    signature, demos = state["signature"], state["demos"]
    known = _WAYS[kind].get(predict)
    if isinstance(known, _Ways) and known.plan.holds(signature, demos):
        return known
    of = (signature, signature.__doc__, id(demos), len(demos) if type(demos) is list else 0)
    if isinstance(known, _Refused) and known.of == of:
        return known
    found: _Ways | _Refused
    try:
        found = _Ways(Plan.of(signature, demos, kind))
    except NoPlanError as error:
        found = _Refused(str(error), of)
    _WAYS[kind][predict] = found
    return found


def _lean(ways: _Ways, lm: dspy.LM, config: dict[str, Any]) -> LeanLM | None:
    known = ways.leans.get(id(lm))
    if isinstance(known, LeanLM) and known.holds(lm, config):
        return known
    of = (lm, repr(lm.kwargs), repr(config))
    if isinstance(known, _Refused) and known.of == of:
        return None
    found: LeanLM | _Refused
    try:
        found = LeanLM.of(lm, config, ways.plan)
    except NoPlanError as error:
        found = _Refused(str(error), of)
    if len(ways.leans) >= _MOST_LMS:
        ways.leans.clear()
    ways.leans[id(lm)] = found
    return found if isinstance(found, LeanLM) else None


class _Call:
    """One call that DSPy would make just so."""

    __slots__ = ("lean", "plan", "predict", "request", "settings", "values")

    def __init__(
        self,
        predict: dspy.Predict,
        *,
        settings: Mapping[str, Any],
        plan: Plan,
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
        kind = default_kind(settings["adapter"])
        if kind is None or not is_lean(lm):
            return None
        ways = _ways(predict, state, kind)
        if isinstance(ways, _Refused):
            return None
        lean, values = _lean(ways, lm, state["config"]), ways.plan.values(given)
        if lean is None or values is None:
            return None
        plan = ways.plan
        request = lean.request(plan.question(values))
        if request is None:
            return None
        return cls(predict, settings=settings, plan=plan, lean=lean, values=values, request=request)

    @property
    def has_second_chance(self) -> bool:
        """Whether an answer that cannot be read is asked for again, in JSON."""
        return type(self.plan.adapter) is dspy.ChatAdapter

    def fields(self, output: Any) -> dict[str, Any]:
        """The output fields of an answer.

        Raises:
            AdapterParseError: when it has none.
        """
        text = output["text"] if isinstance(output, dict) else output
        if text:
            return self.plan.answer(text)
        raise AdapterParseError(
            adapter_name=type(self.plan.adapter).__name__,
            signature=self.plan.signature,
            lm_response=str(output),
            message="The LM returned an empty or null response.",
        )

    def prediction(self, prediction: dspy.Prediction) -> dspy.Prediction:
        """Note it in the trace, as ``dspy.Predict`` does."""
        trace, most = self.settings["trace"], self.settings["max_trace_size"]
        if trace is not None and most > 0:
            if len(trace) >= most:
                trace.pop(0)
            trace.append((self.predict, dict(self.values), prediction))
        return prediction

    def ask_again(self) -> dspy.Prediction:
        """The second call that follows an answer which could not be read, and its prediction."""
        with dspy.context(send_stream=None):
            return self._read_again(json_fallback()(**self._second()))

    async def aask_again(self) -> dspy.Prediction:
        """The same for asynchronous code."""
        with dspy.context(send_stream=None):
            return self._read_again(await json_fallback().acall(**self._second()))

    def _second(self) -> dict[str, Any]:
        state = state_of(self.predict)
        return {
            "lm": self.lean.lm,
            "lm_kwargs": dict(state["config"]),
            "signature": self.plan.signature,
            "demos": state["demos"],
            "inputs": self.values,
        }

    def _read_again(self, completions: list[dict[str, Any]]) -> dspy.Prediction:
        return self.prediction(dspy.Prediction.from_completions(completions, signature=self.plan.signature))
