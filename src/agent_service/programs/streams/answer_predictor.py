"""Which predictor of a program writes its answer, and whether it is the one at work."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from dspy.utils.callback import BaseCallback

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import dspy

_MARK = "answer_field_of_program"
_AT_WORK: ContextVar[str | None] = ContextVar("answer_field_at_work", default=None)


def mark_answer_predictor(module: dspy.Module, answer_output: str) -> None:
    """Note on the last predictor that gives the output ``answer_output`` that it writes the program's answer.

    Not on one whose output is no text: of that nothing can be told before it is whole. The mark is an
    attribute, which copies of the module keep.
    """
    giving = [
        predictor
        for _, predictor in module.named_predictors()
        if answer_output in predictor.signature.output_fields
    ]
    for predictor in giving[-1:]:
        if predictor.signature.output_fields[answer_output].annotation is str:
            setattr(predictor, _MARK, answer_output)


def answer_field_at_work() -> str | None:
    """The field that the current predictor writes, if it is the program's answer and somebody watches."""
    return _AT_WORK.get()


def is_watch_only(callbacks: Sequence[object]) -> bool:
    """Whether no callback but this service's own is there."""
    return not callbacks or all(type(callback) is AnswerWatch for callback in callbacks)


@contextmanager
def written_by(predictor: dspy.Module) -> Iterator[None]:
    """Within, ``predictor`` is at work: for those who call no callbacks."""
    token = _AT_WORK.set(getattr(predictor, _MARK, None))
    try:
        yield
    finally:
        _AT_WORK.reset(token)


class AnswerWatch(BaseCallback):
    """DSPy tells it of each module's begin and end, in the context in which the module works."""

    def __init__(self) -> None:
        super().__init__()
        self._at_work: set[str] = set()

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """A module begins."""
        del inputs
        field = getattr(instance, _MARK, None)
        if field is not None:
            self._at_work.add(call_id)
            _AT_WORK.set(field)

    def on_module_end(self, call_id: str, outputs: Any | None, exception: Exception | None = None) -> None:
        """A module ends."""
        del outputs, exception
        if call_id in self._at_work:
            self._at_work.discard(call_id)
            _AT_WORK.set(None)
