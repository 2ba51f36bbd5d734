"""What a ``forward`` returns by name is read from its source, and only where that is beyond doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
import pytest
from dspy import Prediction

from agent_service.programs.returns import returned_names

if TYPE_CHECKING:
    from collections.abc import Callable

OTHER: Any = {}


def prediction(question: Any) -> Any:
    return dspy.Prediction(label=question, score=1.0)


def imported(question: Any) -> Any:
    return Prediction(label=question)


async def asynchronous(question: Any) -> Any:
    return {"label": question}


def branches(question: Any) -> Any:
    if question:
        return dspy.Prediction(label=question)
    for score in question:
        return {"label": "none", "score": score}
    return dspy.Prediction(reason="empty")


def nested(question: Any) -> Any:
    def key(_: Any) -> int:
        return 1

    return dspy.Prediction(label=key(question))


def passed_on(question: Any) -> Any:
    if not question:
        return dspy.Prediction(label="none")
    return OTHER(question=question)


def computed(question: Any) -> Any:
    return dspy.Prediction(label=question, **OTHER)


def keyed(question: Any) -> Any:
    return {"label": question, **OTHER}


def positional(question: Any) -> Any:
    return dspy.Prediction(question, label=question)


def without(_: Any) -> None:
    OTHER.clear()


@pytest.mark.parametrize(
    ("method", "names"),
    [
        (prediction, ("label", "score")),
        (imported, ("label",)),
        (asynchronous, ("label",)),
        (branches, ("label", "score", "reason")),
        (nested, ("label",)),
        (passed_on, ()),
        (computed, ()),
        (keyed, ()),
        (positional, ()),
        (without, ()),
        (eval("lambda: {'label': 1}"), ()),  # noqa: S307 - there is no source of it
        (len, ()),
    ],
)
def test_names_are_told_where_every_return_has_them(
    method: Callable[..., Any], names: tuple[str, ...]
) -> None:
    """All branches together, in order; nothing where one of them is of another kind or computed."""
    assert returned_names(method) == names
