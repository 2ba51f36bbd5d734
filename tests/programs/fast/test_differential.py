"""The fast path against DSPy's own modules: for every case of the corpus nothing that shows may differ.

What shows: the requests to the model, the prediction or error, the trace, what tools and callbacks are given,
the run's events and usage, and the log. Each is compared in type and order.
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dspy
import pytest

from agent_service.programs.fast import accelerate
from tests.programs.fast import (
    corpus_adapters,
    corpus_agents,
    corpus_callbacks,
    corpus_calls,
    corpus_corners,
    corpus_failures,
    corpus_fields,
    corpus_json,
    corpus_native,
    corpus_programs,
    corpus_state,
    corpus_streams,
    corpus_texts,
)
from tests.programs.fast.corpus_json import ABILITIES, by_json, in_json
from tests.programs.fast.corpus_state import double, replies
from tests.programs.fast.differential_case import Case, differences
from tests.programs.fast.differential_world import Rooms, Stage, Twin, played

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from dspy import lm15

CORPUS = (
    corpus_adapters,
    corpus_agents,
    corpus_callbacks,
    corpus_calls,
    corpus_corners,
    corpus_failures,
    corpus_fields,
    corpus_json,
    corpus_native,
    corpus_programs,
    corpus_state,
    corpus_streams,
    corpus_texts,
)
CASES = [
    pytest.param(case, mode, id=f"{part.__name__.rpartition('_')[2]}: {case.name}, {mode}")
    for part in CORPUS
    for case in part.CASES
    for mode in case.modes
]


@pytest.fixture(scope="module")
def rooms() -> Iterator[Rooms]:
    """Threads for all cases."""
    opened = Rooms()
    yield opened
    opened.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("case", "mode"), CASES)
async def test_the_fast_path_is_told_apart_by_nothing(case: Case, mode: str, rooms: Rooms) -> None:
    """Stock and fast side by side: no difference."""
    assert await differences(case, twin=accelerate, mode=mode, rooms=rooms) == {}


MAKERS: dict[str, Callable[[Stage], dspy.Module]] = {
    "Predict": lambda _: dspy.Predict("question -> answer"),
    "ChainOfThought": lambda _: dspy.ChainOfThought("question -> answer"),
    "ReAct": lambda _: dspy.ReAct("question -> answer", tools=[double]),
}


def replies_in_json(request: lm15.Request) -> Any:
    """The same script, in JSON."""
    return in_json(replies(request))


@pytest.mark.parametrize("adapter", ["chat", "chat, native", "json", "json, by text"])
async def test_steps_with_native_calls_are_fast_too(adapter: str, rooms: Rooms) -> None:
    """DSPy's second agent keeps its loop; its steps, with tools and the conversation, need no adapter."""
    case = Case(
        "second agent",
        corpus_native.agent(),
        replies=corpus_native.script(corpus_native.TAKE, corpus_native.SUBMIT),
        settings=corpus_native.settings(adapter),
        can=corpus_native.CAN["tools"],
    )
    assert await adapter_calls(case, None, rooms) > 0
    assert await adapter_calls(case, accelerate, rooms) == 0


@pytest.mark.parametrize("in_chat", [True, False], ids=["chat", "json"])
@pytest.mark.parametrize("kind", MAKERS)
async def test_what_is_compared_is_the_fast_path(kind: str, in_chat: bool, rooms: Rooms) -> None:
    """A comparison of DSPy with a twin that leaves everything to DSPy would show nothing."""
    case = Case(kind, MAKERS[kind], replies=replies)
    if not in_chat:
        case = replace(case, settings=by_json, replies=replies_in_json, can=ABILITIES[2])
    assert await adapter_calls(case, None, rooms) > 0
    assert await adapter_calls(case, accelerate, rooms) == 0


async def adapter_calls(case: Case, twin: Twin | None, rooms: Rooms) -> int:
    """How often DSPy's adapter is called in the second of two queries; the first one may compile."""
    adapter_call = inspect.unwrap(dspy.Adapter.acall).__code__
    calls: list[str] = []

    def seen(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is adapter_call:
            calls.append(event)

    async def play(stage: Stage, module: dspy.Module) -> None:
        await stage.call(module, question="first")
        sys.setprofile(seen)
        try:
            await stage.call(module, question="second")
        finally:
            sys.setprofile(None)

    await played(replace(case, play=play), twin=twin, mode="async", rooms=rooms)
    return len(calls)
