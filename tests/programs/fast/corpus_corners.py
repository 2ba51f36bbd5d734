"""Cases at the corners of what can be compiled: names with a meaning, odd signatures, values, changes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import dspy
import pydantic

from tests.programs.conftest import said
from tests.programs.fast.corpus_agents import END, TWICE, agent_with
from tests.programs.fast.corpus_state import double, replies
from tests.programs.fast.corpus_types import Event, Point
from tests.programs.fast.differential_case import Case, as_json, predictor, step

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.programs.fast.differential_world import Stage

QA = "question -> answer"
FOUR = said(reasoning="r", answer="4")
Q = {"question": "q"}
IMAGE = dspy.Image(url="https://example.org/a.png")

# Arguments of a predictor that are no inputs, even when the signature says so.
PRIVILEGED: dict[str, list[Any]] = {
    "config": [{"temperature": 0.5}, {}, "text"],
    "lm": [None, "openai/gpt-4o"],
    "demos": [[], [{"demos": "d", "answer": "a"}], "text"],
    "signature": ["question -> answer"],
    "new_signature": ["question -> answer"],
    "prediction": [{"type": "content", "content": "4"}, "text"],
    "max_iters": [1, "text"],
    "module": ["text"],
    "trajectory": ["text"],
    "callbacks": ["text"],
    "instance": ["text"],
    "args": ["text"],
    "kwargs": ["text"],
    "prompt": ["text"],
    "messages": ["text"],
    "temperature": [0.5],
}


class Framed(pydantic.BaseModel):
    """A model with one of DSPy's own types in it."""

    title: str
    image: dspy.Image


class Sideways(pydantic.BaseModel):
    """A model that is written in its own way."""

    x: int

    @pydantic.model_serializer
    def written(self) -> str:
        """As a text, padded."""
        return f"  <{self.x}>  "


def _cyclic() -> list[Any]:
    circle: list[Any] = [1]
    circle.append(circle)
    return circle


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


VALUES: dict[str, Any] = {
    "a circle": _cyclic(),
    "deep": _deep(100),
    "very deep": _deep(280),
    "keys of all kinds": {None: 1, True: 2, 1.5: 3, (1, "a"): 4},
    "an image": IMAGE,
    "images in a dict": {"a": IMAGE, "b": [IMAGE]},
    "an image in a model": Framed(title="t", image=IMAGE),
    "events in a list": [Event(title="a")],
    "an event in a tuple": (Event(title="a"), 1),
    "a model written sideways": Sideways(x=1),
    "models written sideways": [Sideways(x=1), {"x": Sideways(x=2)}],
    "a class": Point,
    "an exception": ValueError("x"),
    "an example": dspy.Example(a=1).with_inputs("a"),
    "a prediction": dspy.Prediction(answer="4"),
    "not a number": [float("nan"), float("inf"), -0.0],
    "big": 10**4000,
    "bytes in a list": [b"\xff", bytearray(b"a"), memoryview(b"a").tobytes()],
    "a complex number": 1 + 2j,
    "a range": range(3),
    "dots": ...,
}

ANSWERS: dict[str, tuple[Any, str]] = {
    "a number of many digits": (int, "9" * 5_000),
    "a list of many digits": (list[int], f"[{'9' * 5_000}]"),
    "deep brackets": (list[Any], "[" * 300),
    "very deep brackets": (list[Any], "[" * 20_000),
    "new lines in JSON": (dict[str, str], '{"a": "b\nc"}'),
    "tabs in JSON": (dict[str, str], '{"a": "b\tc"}'),
    "half a pair in JSON": (dict[str, str], '{"a": "\\ud800"}'),
    "an annotated number": (Annotated[int, pydantic.Field(gt=5)], "4"),
    "an annotated list": (Annotated[list[int], "note"], "[1]"),
    "a nested union": (dict[str, int | list[str] | None], '{"a": 1, "b": ["x"], "c": null}'),
    "a new union": (str | None, "null"),
    "a new union of numbers": (int | None, "null"),
    "nothing but none": (type(None), "None"),
    "an object": (object, "x"),
    "a sideways model": (Sideways, '{"x": 1}'),
    "a framed model": (Framed, '{"title": "t", "image": "https://example.org/a.png"}'),
    "a tuple of any": (tuple[Any, ...], "(1, 'a', None)"),
    "a quoted text": (str | int | None, '"4"'),
    "a python text": (list[str], "['it\\'s', \"x\"]"),
    "a secret": (pydantic.SecretStr, "secret"),
    "an address": (pydantic.HttpUrl, "https://example.org"),
    "an int that is strict": (pydantic.StrictInt, "4"),
    "a positive int": (pydantic.PositiveInt, "-4"),
    "JSON": (pydantic.Json[list[int]], '"[1]"'),
}


def _of(name: str) -> Any:
    return dspy.Signature({name: (Any, dspy.InputField()), "answer": (str, dspy.OutputField())}, "Do it.")


def _giving(kind: Any) -> Any:
    return dspy.Signature(
        {"question": (str, dspy.InputField()), "result": (kind, dspy.OutputField())}, "Do it."
    )


def _named_cases() -> list[Case]:
    """Inputs whose names mean something to DSPy, alone and beside a plain one."""
    cases = []
    for name, values in PRIVILEGED.items():
        for number, value in enumerate(values):
            if name != "signature":  # which no field can be called
                cases.append(
                    predictor(
                        f"input named {name} {number}", _of(name), {name: value}, FOUR, modes=("async",)
                    )
                )
            cases.append(
                predictor(f"extra named {name} {number}", QA, {**Q, name: value}, FOUR, modes=("async",))
            )
        agent = {name: values[0], "question": "q"}
        cases.append(
            Case(f"agent given {name}", agent_with("take"), inputs=agent, replies=END, modes=("async",))
        )
        thought = predictor(
            f"thinker given {name}",
            QA,
            {**Q, name: values[0]},
            FOUR,
            kind=dspy.ChainOfThought,
            modes=("async",),
        )
        cases.append(thought)
    return cases


def _agent_of(names: str) -> Callable[[Stage], Any]:
    return lambda _: dspy.ReAct(f"{names} -> answer", tools=[double])


def _changing_agent(change: Callable[[Any], None]) -> Callable[[Stage], Any]:
    """An agent whose tool changes the agent while it works."""

    def make(stage: Stage) -> Any:
        def meddle() -> str:
            """Change the agent."""
            change(agents[0])
            stage.note("meddled")
            return "changed"

        agents = [dspy.ReAct(QA, tools=[meddle, double])]
        return agents[0]

    return make


def _without_double(agent: Any) -> None:
    del agent.tools["double"]


def _other_extract(agent: Any) -> None:
    agent.extract.predict.signature = agent.extract.predict.signature.with_instructions("Changed meanwhile.")


def _other_steps(agent: Any) -> None:
    agent.react.demos = [{"question": "changed", "next_thought": "meanwhile"}]


def _fewer_steps(agent: Any) -> None:
    agent.max_iters = 1


MEDDLING = (step("meddle"), step("double", number=1), step("finish"), FOUR)


def _own_format(stage: Stage) -> Any:
    agent = agent_with("take")(stage)
    agent._format_trajectory = lambda trajectory: f"own: {list(trajectory)}"  # noqa: SLF001 - users do
    return agent


def _own_truncation(stage: Stage) -> Any:
    agent = agent_with("take")(stage)

    def truncated(trajectory: dict[str, Any]) -> dict[str, Any]:
        stage.note("truncated", trajectory)
        return {"thought_9": "only this"}

    agent.truncate_trajectory = truncated
    return agent


def _own_forward(_: Stage) -> Any:
    module = dspy.Predict(QA)
    stock = module.forward, module.aforward

    def forward(**inputs: Any) -> Any:
        return stock[0](**{**inputs, "question": "patched"})

    async def aforward(**inputs: Any) -> Any:
        return await stock[1](**{**inputs, "question": "patched"})

    module.forward, module.aforward = forward, aforward
    return module


async def _value_in_place(stage: Stage, module: dspy.Module) -> None:
    """Demos whose values change in place to what compares equal, and to what does not."""
    values: list[Any] = [1, {"a": 1, "b": 0.0}]
    module.predictors()[0].demos = [{"question": values, "answer": values}]
    await stage.call(module, question="before")
    for number, value in ((0, True), (1, {"b": 0.0, "a": 1}), (1, {"b": -0.0, "a": 1}), (0, "x")):
        values[number] = value
        await stage.call(module, question="after")
    values[1]["a"] = 2
    await stage.call(module, question="deeper")


async def _many_lms(stage: Stage, module: dspy.Module) -> None:
    """More LMs than anyone keeps."""
    for number in range(12):
        module.set_lm(stage.lm(f"lm{number}", temperature=number / 10))
        await stage.call(module, question="q")


async def _at_once(stage: Stage, module: dspy.Module) -> None:
    """Queries at once do not mix."""

    class All(dspy.Module):  # type: ignore[misc] # DSPy has no types
        async def aforward(self) -> Any:
            calls = [module.acall(question=f"q{number}") for number in range(8)]
            return dspy.Prediction(answers=await asyncio.gather(*calls))

    await stage.call(All())


async def _cancelled(stage: Stage, module: dspy.Module) -> None:
    """A query that is cut off while the model thinks leaves no trace in the next."""

    class Cut(dspy.Module):  # type: ignore[misc] # DSPy has no types
        async def aforward(self) -> Any:
            task = asyncio.ensure_future(module.acall(question="cut"))
            while not stage.record.requests:  # noqa: ASYNC110 - the model has no event to tell
                await asyncio.sleep(0.001)
            task.cancel()
            found = await asyncio.gather(task, return_exceptions=True)
            stage.note("cut", *found)
            return await module.acall(question="next")

    await stage.call(Cut())


def _never(_: Stage) -> Any:
    return asyncio.Event().wait()


def _bare(inputs: bool, outputs: bool) -> Any:
    given = {"question": (str, dspy.InputField())} if inputs else {}
    return dspy.Signature({**given, **({"answer": (str, dspy.OutputField())} if outputs else {})}, "Do it.")


CASES: list[Case] = [
    *_named_cases(),
    *(
        predictor(f"value {name}", _of("given"), {"given": value}, FOUR, modes=("async",))
        for name, value in VALUES.items()
    ),
    *(
        predictor(f"value {name} as text", QA, {"question": value}, FOUR, modes=("async",))
        for name, value in VALUES.items()
    ),
    *(
        predictor(
            f"answer {name}", _giving(kind), Q, said(result=text), as_json(result=text), modes=("async",)
        )
        for name, (kind, text) in ANSWERS.items()
    ),
    predictor("no inputs", _bare(False, True), {}, FOUR),
    predictor("no inputs, one given", _bare(False, True), Q, FOUR),
    predictor("no outputs", _bare(True, False), Q, FOUR, "{}"),
    *(
        Case(f"agent of an input named {name}", _agent_of(name), inputs={name: "q"}, replies=END)
        for name in ("trajectory_0", "thought_0", "observation_0", "module", "max_iters")
    ),
    *(
        Case(
            f"agent whose tool changes {change.__name__}", _changing_agent(change), inputs=Q, replies=MEDDLING
        )
        for change in (_without_double, _other_extract, _other_steps, _fewer_steps)
    ),
    Case("agent with a format of its own", _own_format, replies=(TWICE[0], *END)),
    Case("agent with a truncation of its own", _own_truncation, replies=(TWICE[0], *END)),
    Case("predictor with a forward of its own", _own_forward, replies=[FOUR]),
    Case("demo values changed in place", lambda _: dspy.Predict(QA), replies=[FOUR], play=_value_in_place),
    Case("many LMs", lambda _: dspy.ChainOfThought(QA), replies=[FOUR], play=_many_lms),
    Case(
        "many at once",
        lambda _: dspy.ReAct(QA, tools=[double]),
        replies=replies,
        play=_at_once,
        modes=("async",),
        unordered=True,
    ),
    Case(
        "cut off",
        lambda _: dspy.ChainOfThought(QA),
        replies=[_never, FOUR],
        play=_cancelled,
        modes=("async",),
    ),
]
