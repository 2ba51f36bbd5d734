"""Cases: what is told of a query while it runs, and what is kept of it: streams, listeners, histories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
from dspy.streaming.streamify import find_predictor_for_stream_listeners

from tests.programs.fast.corpus_programs import MAKERS
from tests.programs.fast.corpus_state import replies
from tests.programs.fast.differential_case import Case, raising

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.programs.fast.differential_world import Stage


async def _streamed(stage: Stage, module: dspy.Module, *fields: str, reuse: bool) -> None:
    """One query with a stream; every chunk is noted, and what listeners make of it."""
    listeners = [dspy.streaming.StreamListener(field, allow_reuse=reuse) for field in fields]
    found = find_predictor_for_stream_listeners(module, listeners) if listeners else {}

    class Sink:
        async def send(self, chunk: Any) -> None:
            heard = [
                listener.receive(chunk) for listener in found.get(getattr(chunk, "predict_id", None), ())
            ]
            stage.note("chunk", type(chunk).__name__, _choice(chunk), heard)

    inner = stage.case.settings
    settings = {"send_stream": Sink(), "stream_listeners": listeners}
    with dspy.context(**settings):
        assert inner(stage) == {}
        await stage.call(module, question="q")


def _choice(chunk: Any) -> Any:
    choices = getattr(chunk, "choices", None)
    return repr(choices[0].delta) if choices else repr(chunk)


def _listening(*fields: str, reuse: bool = False) -> Any:
    async def play(stage: Stage, module: dspy.Module) -> None:
        await _streamed(stage, module, *fields, reuse=reuse)

    return play


async def _streamified(stage: Stage, module: dspy.Module) -> None:
    """DSPy's own streamify around a fast module."""
    streaming = dspy.streamify(
        module, stream_listeners=[dspy.streaming.StreamListener("answer")], is_async_program=True
    )

    class Streaming(dspy.Module):  # type: ignore[misc] # DSPy has no types
        async def aforward(self, **inputs: Any) -> Any:
            last = None
            async for part in streaming(**inputs):
                stage.note("part", part)
                last = part
            return last

    await stage.call(Streaming(), question="q")


async def _histories(stage: Stage, module: dspy.Module) -> None:
    """What is kept for ``inspect_history`` when the program asks for it."""
    await stage.call(module, question="q")
    for _, part in module.named_sub_modules():
        stage.note(
            [
                (entry["messages"], entry["outputs"], entry["usage"], entry["model"], entry["kwargs"])
                for entry in part.history
            ]
        )


def _kept(_: Stage) -> Mapping[str, Any]:
    return {"disable_history": False, "max_history_size": 5}


CASES: list[Case] = [
    *(
        Case(f"stream of all, {name}", make, replies=replies, play=_listening())
        for name, make in MAKERS.items()
    ),
    *(
        Case(f"stream of the answer, {name}", make, replies=replies, play=_listening("answer"))
        for name, make in MAKERS.items()
    ),
    Case(
        "stream of thoughts",
        MAKERS["ReAct"],
        replies=replies,
        play=_listening("next_thought", "answer", reuse=True),
    ),
    Case("stream of garbage", MAKERS["Predict"], replies=["garbage"], play=_listening("answer")),
    Case(
        "stream that fails",
        MAKERS["Predict"],
        replies=[raising(lambda: ValueError("a bug"))],
        play=_listening("answer"),
    ),
    *(
        Case(f"streamify, {name}", make, replies=replies, play=_streamified, modes=("async",))
        for name, make in MAKERS.items()
    ),
    *(
        Case(f"history kept, {name}", make, replies=replies, settings=_kept, play=_histories)
        for name, make in MAKERS.items()
    ),
]
