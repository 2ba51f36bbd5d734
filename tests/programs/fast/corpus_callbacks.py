"""Cases: callbacks of DSPy's, which see every call of every part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
from dspy.utils.callback import ACTIVE_CALL_ID, BaseCallback

from tests.programs.conftest import said
from tests.programs.fast.corpus_failures import ERRORS
from tests.programs.fast.corpus_state import agent, replies
from tests.programs.fast.differential_case import Case, as_json, predictor, raising

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.programs.fast.differential_world import Stage

QA = "question -> answer"
FOUR = said(reasoning="r", answer="4")
Q = {"question": "q"}


class Noting(BaseCallback):  # type: ignore[misc] # DSPy has no types
    """Notes every event that DSPy tells, and how deep."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.open: list[str] = []

    def _start(self, kind: str, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self.stage.note(
            kind,
            len(self.open),
            ACTIVE_CALL_ID.get() == (self.open[-1] if self.open else None),
            instance,
            inputs,
        )
        self.open.append(call_id)

    def _end(self, kind: str, call_id: str, outputs: Any, exception: BaseException | None) -> None:
        self.stage.note(kind, self.open.pop() == call_id, outputs, exception)

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self._start("module", call_id, instance, inputs)

    def on_module_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        self._end("module", call_id, outputs, exception)

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self._start("lm", call_id, instance, inputs)

    def on_lm_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        self._end("lm", call_id, outputs, exception)

    def on_adapter_format_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self._start("format", call_id, instance, inputs)

    def on_adapter_format_end(
        self, call_id: str, outputs: Any, exception: BaseException | None = None
    ) -> None:
        self._end("format", call_id, outputs, exception)

    def on_adapter_parse_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self._start("parse", call_id, instance, inputs)

    def on_adapter_parse_end(
        self, call_id: str, outputs: Any, exception: BaseException | None = None
    ) -> None:
        self._end("parse", call_id, outputs, exception)

    def on_tool_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self._start("tool", call_id, instance, inputs)

    def on_tool_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        self._end("tool", call_id, outputs, exception)


class Raising(BaseCallback):  # type: ignore[misc] # DSPy has no types
    """Fails at every event, which DSPy logs."""

    def __repr__(self) -> str:
        return "Raising"

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        raise ValueError("start")

    def on_adapter_parse_end(
        self, call_id: str, outputs: Any, exception: BaseException | None = None
    ) -> None:
        raise ValueError("end")


def _on(owner: str) -> Callable[[Stage], dspy.Module]:
    """An agent with a callback at itself or at a predictor."""

    def make(stage: Stage) -> dspy.Module:
        module = agent(stage)
        owners = {"agent": module, "predictor": module.react, "extract": module.extract}
        owners[owner].callbacks = [Noting(stage)]
        return module

    return make


def _listening(stage: Stage) -> Mapping[str, Any]:
    return {"callbacks": [Noting(stage)]}


def _lm_listening(stage: Stage) -> Mapping[str, Any]:
    return {"lm": stage.lm("listened", callbacks=[Noting(stage)])}


def _adapter_listening(stage: Stage) -> Mapping[str, Any]:
    return {"adapter": dspy.ChatAdapter(callbacks=[Noting(stage)])}


CASES: list[Case] = [
    predictor("callbacks of all", QA, Q, "bad", as_json(answer="4"), settings=_listening),
    predictor("callbacks of all, failing", QA, Q, raising(ERRORS["server"]), settings=_listening),
    predictor("callbacks that fail", QA, Q, FOUR, settings=lambda _: {"callbacks": [Raising()]}),
    predictor("callbacks of the LM", QA, Q, FOUR, settings=_lm_listening),
    predictor("callbacks of the adapter", QA, Q, "bad", as_json(answer="4"), settings=_adapter_listening),
    Case("callbacks of all, agent", agent, replies=replies, settings=_listening),
    *(
        Case(f"callbacks at an agent's {owner}", _on(owner), replies=replies)
        for owner in ("agent", "predictor", "extract")
    ),
]
