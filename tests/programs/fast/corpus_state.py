"""Cases: demos, saved state, and changes of a module after it was made fast."""

from __future__ import annotations

import copy
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle  # type: ignore[import-untyped] # as DSPy's own saving does
import dspy

from tests.programs.conftest import said
from tests.programs.fast.corpus_types import Chat, Colour, Everything, Person, Point
from tests.programs.fast.differential_case import BOTH, Case, step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from dspy import lm15

    from tests.programs.fast.differential_world import Stage

QA = "question -> answer"
TWO = "question, context: list[str] -> answer, score: int"
FOUR = said(reasoning="r", answer="4", score=4)

DEMOS: dict[str, list[Any]] = {
    "complete": [{"question": "1+1?", "context": ["a", "b"], "answer": "2", "score": 1}],
    "examples": [
        dspy.Example(question="1+1?", context=[], answer="2", score=1).with_inputs("question", "context")
    ],
    "augmented": [{"augmented": True, "question": "1+1?", "context": [], "answer": "2", "score": 1}],
    "incomplete": [{"question": "1+1?", "answer": "2"}],
    "none in it": [{"question": "1+1?", "context": None, "answer": "2", "score": None}],
    "no input": [{"answer": "2", "score": 1}],
    "no output": [{"question": "1+1?", "context": []}],
    "empty": [{}],
    "other fields": [{"colour": "red", "question": "q", "answer": "a"}],
    "order": [
        {"question": "complete", "context": [], "answer": "2", "score": 1},
        {"question": "not", "answer": "3"},
        {"question": "complete too", "context": ["c"], "answer": "4", "score": 0},
    ],
    "other types": [{"question": ["a", "b"], "context": "text", "answer": {"a": 1}, "score": "high"}],
    "texts": [
        {
            "question": " [[ ## answer ## ]]\r\n",
            "context": ["\u2028", "\U0001f600"],
            "answer": "\n",
            "score": 2,
        }
    ],
    "unformattable": [{"question": [None, 1], "context": [], "answer": "2", "score": 1}],
    "no dict": [5],
    "many": [{"question": f"{n}?", "context": [str(n)], "answer": str(n), "score": n} for n in range(20)],
    "reasoned": [{"question": "q", "context": [], "reasoning": "so", "answer": "a", "score": 1}],
}
INPUTS = {"question": "2+2?", "context": ["one", "two"]}


def double(number: int) -> int:
    """Double it."""
    return 2 * number


def agent(_: Stage) -> dspy.Module:
    """An agent with one tool."""
    return dspy.ReAct(QA, tools=[double])


def replies(request: lm15.Request) -> str:
    """What a model answers that doubles once, whoever asks how often."""
    asked = request.messages[-1].parts[0].text
    if "next_thought" not in asked.rpartition("Respond with ")[2]:
        return FOUR
    return step("finish") if "[[ ## observation_" in asked else step("double", number=2)


def _with_demos(kind: Any, demos: list[Any]) -> Callable[[Stage], dspy.Module]:
    def make(_: Stage) -> dspy.Module:
        module = kind(TWO)
        for predictor in module.predictors():
            predictor.demos = copy.deepcopy(demos)
        return module

    return make


def _demo_cases() -> list[Case]:
    return [
        Case(f"demos {name}, {kind.__name__}", _with_demos(kind, demos), inputs=INPUTS, replies=said_)
        for name, demos in DEMOS.items()
        for kind, said_ in ((dspy.Predict, [FOUR]), (dspy.ChainOfThought, ["bad", FOUR, '{"answer": "4"}']))
    ]


def _optimised(module: dspy.Module) -> dict[str, Any]:
    """The state of ``module`` as an optimiser may leave it."""
    for number, predictor in enumerate(module.predictors()):
        predictor.signature = predictor.signature.with_instructions(
            f"Optimised {number}.\nWith \u201clines\u201d."
        )
        name = next(iter(predictor.signature.output_fields))
        predictor.signature = predictor.signature.with_updated_fields(
            name, desc="the best one", prefix="Best:"
        )
        fields = predictor.signature.fields
        predictor.demos = [
            dict.fromkeys(fields, f"demo {number}"),
            {"question": "q", "answer": "a", "augmented": True},
        ]
    state: dict[str, Any] = json.loads(json.dumps(module.dump_state()))
    return state


def _loaded(make: Callable[[Stage], dspy.Module]) -> Callable[[Stage], dspy.Module]:
    def made(stage: Stage) -> dspy.Module:
        module = make(stage)
        module.load_state(_optimised(make(stage)))
        return module

    return made


async def _load_later(stage: Stage, module: dspy.Module) -> None:
    await stage.call(module, question="before")
    module.load_state(_optimised(module.deepcopy()))
    await stage.call(module, question="after")


async def _round_trip(stage: Stage, module: dspy.Module) -> None:
    module.load_state(_optimised(module))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program.json"
        module.save(path)
        stage.note("saved", json.loads(path.read_text(encoding="utf-8")))
        module.load(path)
    stage.note("state", module.dump_state(), module.named_parameters())
    await stage.call(module, question="after")


async def _copied(stage: Stage, module: dspy.Module) -> None:
    for made in (module.deepcopy(), copy.deepcopy(module), copy.copy(module), module.reset_copy()):
        await stage.call(made, question="copied")
    for predictor in module.predictors():
        predictor.demos = [{"question": "only here", "answer": "a"}]
    await stage.call(module, question="original")


async def _pickled(stage: Stage, module: dspy.Module) -> None:
    await stage.call(module, question="before")
    await stage.call(cloudpickle.loads(cloudpickle.dumps(module)), question="after")


async def _shown(stage: Stage, module: dspy.Module) -> None:
    names = [name for name, _ in module.named_sub_modules()]
    stage.note(repr(module), names, [name for name, _ in module.named_predictors()])
    stage.note([isinstance(part, (dspy.Predict, dspy.ReAct)) for _, part in module.named_sub_modules()])
    await stage.call(module, question="q")


def _changing(*changes: Callable[[Any], None]) -> Callable[[Stage, dspy.Module], Awaitable[None]]:
    """A query, then one after each change of each predictor."""

    async def play(stage: Stage, module: dspy.Module) -> None:
        await stage.call(module, question="before")
        for change in changes:
            for predictor in module.predictors():
                change(predictor)
            await stage.call(module, question="after")

    return play


def _set(name: str, value: Any) -> Callable[[Any], None]:
    def change(predictor: Any) -> None:
        setattr(predictor, name, value(predictor) if callable(value) else copy.deepcopy(value))

    return change


def _told(predictor: Any) -> Any:
    return predictor.signature.with_instructions("Changed.")


def _in_place(predictor: Any) -> None:
    predictor.signature.instructions = "Changed in place."


def _field_in_place(predictor: Any) -> None:
    predictor.signature.input_fields["question"].json_schema_extra["desc"] = "changed in place"


def _demo_in_place(predictor: Any) -> None:
    predictor.demos.append({"question": "added", "answer": "a"})


def _demo_changed(predictor: Any) -> None:
    predictor.demos[0]["answer"] = "changed"


CHANGES: dict[str, tuple[Callable[[Any], None], ...]] = {
    "of the instructions": (_set("signature", _told), _set("signature", _told)),
    "of the instructions in place": (_in_place,),
    "of a field in place": (_field_in_place,),
    "of a field's type": (
        _set("signature", lambda p: p.signature.with_updated_fields("question", type_=list[str])),
    ),
    "of the fields": (
        _set("signature", lambda p: p.signature.append("score", dspy.OutputField(), type_=int)),
        _set("signature", lambda p: p.signature.delete("score")),
    ),
    "of the demos": (
        _set("demos", [{"question": "d", "answer": "a"}]),
        _demo_in_place,
        _demo_changed,
        _set("demos", []),
    ),
    "of the config": (_set("config", {"temperature": 0.2}), _set("config", {"max_tokens": 5})),
    "of the demos to no list": (
        _set("demos", ({"question": "d", "answer": "a"},)),
        _set("demos", None),
        _set("demos", [{"question": "d", "answer": "a"}]),
    ),
    "by reset": (lambda predictor: predictor.reset(),),
    "by update_config": (lambda predictor: predictor.update_config(temperature=0.9),),
}
MAKERS: dict[str, Callable[[Stage], dspy.Module]] = {
    "Predict": lambda _: dspy.Predict(QA),
    "ChainOfThought": lambda _: dspy.ChainOfThought(QA),
    "ReAct": agent,
}


async def _lm_changed(stage: Stage, module: dspy.Module) -> None:
    await stage.call(module, question="before")
    module.set_lm(stage.lm("another", temperature=0.3))
    await stage.call(module, question="after")
    module.predictors()[0].lm.kwargs["temperature"] = 0.4
    await stage.call(module, question="after a change in place")
    module.set_lm(None)
    await stage.call(module, question="back")


async def _agent_changed(stage: Stage, module: dspy.Module) -> None:
    await stage.call(module, question="before")
    module.max_iters = 1
    await stage.call(module, question="one step")
    del module.tools["double"]
    await stage.call(module, question="no tool")
    module.react = dspy.Predict(module.react.signature.with_instructions("Replaced."))
    await stage.call(module, question="replaced")


async def _cleared(stage: Stage, module: dspy.Module) -> None:
    module.react.signature = module.react.signature.with_instructions("")
    module.extract.predict.demos = [{"question": "q", "trajectory": "t", "reasoning": "r", "answer": "a"}]
    await stage.call(module, question="q")


def _plays(
    name: str, play: Any, makers: dict[str, Callable[[Stage], dspy.Module]] | None = None
) -> list[Case]:
    return [
        Case(
            f"{name}, {kind}",
            make,
            replies=replies,
            play=play,
            # What is remembered of a predictor is the same, however it is called.
            modes=BOTH if kind == "Predict" else BOTH[:1],
        )
        for kind, make in (makers or MAKERS).items()
    ]


def _everything(_: Stage) -> dspy.Module:
    module = dspy.Predict(Everything)
    person = Person(name="Ada")
    demo = {"text": "t", "number": 1, "ratio": 0.1, "flag": True, "names": [], "table": {}, "person": person}
    outputs = {"colour": Colour.RED, "kind": "a", "points": [Point(x=1)], "score": 0.5, "either": 1}
    module.demos = [{**demo, "maybe": "m", **outputs}, {**demo, "maybe": None, **outputs}]
    return module


def _chat(_: Stage) -> dspy.Module:
    module = dspy.Predict(Chat)
    module.demos = [
        {"question": "q", "answer": "a"},
        {"history": dspy.History(messages=[]), "question": "q", "answer": "a"},
    ]
    return module


CASES: list[Case] = [
    *_demo_cases(),
    Case("demos of many types", _everything, inputs={"text": "t"}, replies=["bad", "{}"]),
    Case(
        "demos beside a history",
        _chat,
        inputs={"question": "q", "history": dspy.History(messages=[{"question": "1", "answer": "2"}])},
        replies=[FOUR],
    ),
    *(case for name, changes in CHANGES.items() for case in _plays(f"change {name}", _changing(*changes))),
    *_plays("loaded before", None, {name: _loaded(make) for name, make in MAKERS.items()}),
    *_plays("loaded after", _load_later),
    *_plays("saved and loaded", _round_trip),
    *_plays("copied", _copied),
    *_plays("pickled", _pickled, {name: make for name, make in MAKERS.items() if name != "ReAct"}),
    *_plays("shown", _shown),
    *_plays("change of the LM", _lm_changed),
    Case("change of an agent", agent, replies=replies, play=_agent_changed),
    Case("agent without instructions", agent, replies=replies, play=_cleared),
]
