"""Cases: modules of users around DSPy's: threads, tasks, retries, other predictors."""

from __future__ import annotations

import asyncio
import warnings
from typing import TYPE_CHECKING, Any

import dspy

from tests.programs.conftest import said
from tests.programs.fast.corpus_state import double, replies
from tests.programs.fast.corpus_tools import toolbox
from tests.programs.fast.differential_case import Case, as_json, raising, step

if TYPE_CHECKING:
    from dspy import lm15

    from tests.programs.fast.differential_world import Stage

QA = "question -> answer"
FOUR = said(reasoning="r", answer="4")
Q = {"question": "q"}


def _echo(request: lm15.Request) -> str:
    """An answer that depends on the question only, for programs whose calls overtake each other."""
    question = request.messages[-1].parts[0].text.split("\n")[1]
    return "garbage" if "bad" in question else said(reasoning="r", answer=f"to {question}")


class Pipeline(dspy.Module):  # type: ignore[misc] # DSPy has no types
    """Several predictors one after another, one of them an agent, one in a list, one in a dict."""

    def __init__(self, _: Stage | None = None) -> None:
        super().__init__()
        self.first = dspy.ChainOfThought(QA)
        self.agent = dspy.ReAct(QA, tools=[double])
        self.others = [dspy.Predict(QA), dspy.Predict("question, context -> answer")]
        self.named = {"last": dspy.Predict("question -> answer, score: int")}

    def forward(self, question: str) -> Any:
        first = self.first(question=question)
        agent = self.agent(question=first.answer)
        second = self.others[0](question=agent.answer)
        third = self.others[1](context=second.answer, question=question)
        return self.named["last"](question=third.answer)

    async def aforward(self, question: str) -> Any:
        first = await self.first.acall(question=question)
        agent = await self.agent.acall(question=first.answer)
        second = await self.others[0].acall(question=agent.answer)
        third = await self.others[1].acall(context=second.answer, question=question)
        return await self.named["last"].acall(question=third.answer)


class Gathering(dspy.Module):  # type: ignore[misc] # DSPy has no types
    """Many at once."""

    def __init__(self, _: Stage) -> None:
        super().__init__()
        self.answer = dspy.ChainOfThought(QA)
        self.agent = dspy.ReAct(QA, tools=[double])

    async def aforward(self, question: str) -> Any:
        calls = [self.answer.acall(question=f"{question} {n}") for n in range(5)]
        calls += [self.agent.acall(question=f"{question} agent {n}") for n in range(2)]
        found = await asyncio.gather(*calls, self.answer.acall(question="bad"), return_exceptions=True)
        return dspy.Prediction(answer=[type(one).__name__ for one in found], found=found[:7])

    def forward(self, question: str) -> Any:
        pairs = [(self.answer, {"question": f"{question} {n}"}) for n in range(4)]
        found = dspy.Parallel(num_threads=2, disable_progress_bar=True)(pairs)
        return dspy.Prediction(answer=[one.answer for one in found])


class Blocking(dspy.Module):  # type: ignore[misc] # DSPy has no types
    """An async module that calls its predictors synchronously, and one in a thread of its own."""

    def __init__(self, _: Stage) -> None:
        super().__init__()
        self.answer = dspy.ChainOfThought(QA)
        self.agent = dspy.ReAct(QA, tools=[double])

    async def aforward(self, question: str) -> Any:
        first = self.answer(question=question)
        second = await asyncio.to_thread(self.agent, question=first.answer)
        third = await dspy.asyncify(self.answer)(question=second.answer)
        return dspy.Prediction(first=first, second=second, answer=third.answer)

    def forward(self, question: str) -> Any:
        first = asyncio.run(self.answer.acall(question=question))
        return dspy.syncify(self.agent)(question=first.answer)


class Quiet(dspy.Predict):  # type: ignore[misc] # DSPy has no types
    """A user's predictor, which stays what it is."""

    def forward(self, **inputs: Any) -> Any:
        return super().forward(**{**inputs, "question": "quiet"})

    async def aforward(self, **inputs: Any) -> Any:
        return await super().aforward(**{**inputs, "question": "quiet"})


class Mixed(dspy.Module):  # type: ignore[misc] # DSPy has no types
    """A user's predictor beside DSPy's; the trace and the history read by the program."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.quiet = Quiet(QA)
        self.loud = dspy.Predict(QA)
        self.seen = stage.note

    def __deepcopy__(self, memo: object) -> Mixed:
        return self

    def forward(self, question: str) -> Any:
        self.quiet(question=question)
        found = self.loud(question=question)
        self.seen("trace", dspy.settings.trace)
        with dspy.context(lm=dspy.settings.lm.copy(temperature=0.7), trace=[]):
            self.loud(question="within")
            self.seen("trace within", dspy.settings.trace)
        try:
            self.loud(question="bad")
        except dspy.AdapterParseError as error:
            self.seen("error", error)
        with dspy.track_usage() as usage:
            self.loud(question="counted")
        self.seen("usage", usage.get_total_tokens())
        return found


class Bounded(dspy.Module):  # type: ignore[misc] # DSPy has no types
    """BestOfN and Refine, which copy the module, set LMs and read the trace."""

    def __init__(self, kind: Any, module: dspy.Module, threshold: float) -> None:
        super().__init__()
        self.best = kind(
            module=module, N=3, reward_fn=lambda _, found: len(found.answer) / 10, threshold=threshold
        )

    def forward(self, **inputs: Any) -> Any:
        return self.best(**inputs)


class Late(dspy.Module):  # type: ignore[misc] # DSPy has no types
    """BestOfN and Refine that are made when they are needed, of what is fast by then."""

    def __init__(self, kind: Any, module: dspy.Module) -> None:
        super().__init__()
        self.kind = kind
        self.module = module

    def forward(self, **inputs: Any) -> Any:
        best = self.kind(module=self.module, N=2, reward_fn=_short, threshold=0.2)
        return best(**inputs)


def _bounded(kind: Any, make: Any, threshold: float) -> Any:
    return lambda stage: Bounded(kind, make(stage), threshold)


def _late(kind: Any, make: Any) -> Any:
    return lambda stage: Late(kind, make(stage))


def _short(_: Any, found: Any) -> float:
    return len(found.answer) / 10


def _growing(request: lm15.Request) -> str:
    shown = request.messages[-1].parts[0].text
    if "`[[ ## discussion ## ]]`" in shown:
        return said(discussion="d", advice='{"self": "be longer", "predict": "longer"}')
    if "`[[ ## next_thought ## ]]`" in shown:
        return replies(request)
    return said(reasoning="r", answer="x" * (2 if "hint_" in shown else 1))


async def _args(stage: Stage, module: dspy.Module) -> None:
    await stage.call(module, "positional")
    await stage.call(module, "positional", question="q")
    await stage.call(module, **Q)


async def _other_lm(stage: Stage, module: dspy.Module) -> None:
    other = stage.lm("other", temperature=0.4, max_tokens=9)
    await stage.call(module, question="q", lm=other)
    await stage.call(module, question="q")


async def _repeated(stage: Stage, module: dspy.Module) -> None:
    """The same module again: nothing of a query stays in the next."""
    for question in ("one", "bad", "two", ["a", "b"], "one"):
        await stage.call(module, question=question)


def _early(make: Any) -> Any:
    """Whatever comes first: the seams, or the twins."""

    def made(stage: Stage) -> Any:
        module = make(stage)
        stage.accelerate(module)
        return module

    return made


async def _twice_fast(stage: Stage, module: dspy.Module) -> None:
    """Making a fast module fast again changes nothing."""
    stage.take(module)
    await stage.call(module, question="q")


def _own_lm(stage: Stage) -> dspy.Module:
    module = dspy.ChainOfThought(QA)
    module.set_lm(stage.lm("own", temperature=0.1))
    return module


def _nested_agent(stage: Stage) -> dspy.Module:
    """An agent whose tool is a module."""
    inner = dspy.ChainOfThought(QA)

    async def ask(question: str) -> str:
        """Ask another."""
        found = await inner.acall(question=question)
        stage.note("asked", [type(module).__name__ for module in dspy.settings.caller_modules or []][:0])
        return str(found.answer)

    return dspy.ReAct(QA, tools=[ask, *toolbox(stage, "take")])


def _shared(_: Stage) -> dspy.Module:
    """One predictor in two places."""

    class Twice(dspy.Module):  # type: ignore[misc] # DSPy has no types
        def __init__(self) -> None:
            super().__init__()
            self.one = dspy.Predict(QA)
            self.other = self.one

        def forward(self, question: str) -> Any:
            return self.other(question=self.one(question=question).answer)

    return Twice()


def _compare(_: Stage) -> dspy.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it is DSPy that uses what DSPy deprecates
        return dspy.MultiChainComparison(QA, M=2)


AGENT_V2 = [
    said(next_thought="t", tool_calls='{"tool_calls": [{"name": "double", "args": {"number": 1}}]}'),
    said(next_thought="t", tool_calls='{"tool_calls": [{"name": "submit", "args": {"answer": "4"}}]}'),
]
MAKERS: dict[str, Any] = {
    "Predict": lambda _: dspy.Predict(QA),
    "ChainOfThought": lambda _: dspy.ChainOfThought(QA),
    "ReAct": lambda _: dspy.ReAct(QA, tools=[double]),
}

CASES: list[Case] = [
    Case(
        "pipeline",
        Pipeline,
        inputs=Q,
        replies=lambda request: (
            as_json(answer="j", score=3)
            if "score" in request.messages[-1].parts[0].text
            else replies(request)
        ),
    ),
    Case("gathering", Gathering, inputs=Q, replies=_echo, unordered=True),
    Case("blocking", Blocking, inputs=Q, replies=replies),
    Case("mixed", Mixed, inputs=Q, replies=_echo, modes=("sync",)),
    Case("own LM", _own_lm, inputs=Q, replies=[FOUR]),
    Case(
        "agent in an agent",
        _nested_agent,
        inputs=Q,
        replies=[step("ask", question="why"), FOUR, step("finish"), FOUR],
    ),
    Case(
        "agent in an agent fails",
        _nested_agent,
        inputs=Q,
        replies=[step("ask", question="why"), raising(lambda: ValueError("a bug")), step("finish"), FOUR],
    ),
    Case("one predictor in two places", _shared, inputs=Q, replies=_echo, modes=("sync",)),
    Case(
        "comparison",
        _compare,
        inputs={**Q, "completions": [{"rationale": "r", "answer": "a"}] * 2},
        replies=[said(rationale="r", answer="4")],
        modes=("sync",),
    ),
    Case("second kind of agent", lambda _: dspy.ReActV2(QA, tools=[double]), inputs=Q, replies=AGENT_V2),
    *(
        Case(
            f"{kind.__name__} of {name}, {threshold}",
            _bounded(kind, make, threshold),
            inputs=Q,
            replies=_growing,
            modes=("sync",),
        )
        for kind in (dspy.BestOfN, dspy.Refine)
        for name, make in MAKERS.items()
        for threshold in (0.1, 0.2)
    ),
    *(
        Case(
            f"late {kind.__name__} of {name}",
            _late(kind, make),
            inputs=Q,
            replies=_growing,
            modes=("sync",),
        )
        for kind in (dspy.BestOfN, dspy.Refine)
        for name, make in MAKERS.items()
    ),
    *(Case(f"positional, {name}", make, replies=replies, play=_args) for name, make in MAKERS.items()),
    *(
        Case(f"LM of the call, {name}", make, replies=replies, play=_other_lm)
        for name, make in MAKERS.items()
    ),
    *(
        Case(f"repeated, {name}", make, replies=_echo, play=_repeated)
        for name, make in MAKERS.items()
        if name != "ReAct"
    ),
    *(
        Case(f"made fast twice, {name}", make, replies=replies, play=_twice_fast)
        for name, make in MAKERS.items()
    ),
    *(
        Case(f"made fast before it is at the seams, {name}", _early(make), replies=replies)
        for name, make in MAKERS.items()
    ),
    Case("pipeline made fast twice", Pipeline, replies=replies, play=_twice_fast),
]
