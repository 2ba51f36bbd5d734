"""The comparison itself: it finds nothing between DSPy and DSPy, and each mistake that is planted."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import dspy
import pytest

from tests.programs.conftest import said
from tests.programs.fast import corpus_agents, corpus_fields, corpus_programs, corpus_state
from tests.programs.fast.differential_case import BOTH, Case, differences, predictor, raising, step
from tests.programs.fast.differential_describe import described
from tests.programs.fast.differential_world import Rooms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.programs.fast.differential_world import Stage

QA = "question -> answer"
FOUR = said(reasoning="r", answer="4")
Q = {"question": "q"}


@pytest.fixture
def rooms() -> Iterator[Rooms]:
    """Threads for all cases."""
    opened = Rooms()
    yield opened
    opened.close()


def no_twin(_: dspy.Module) -> None:
    """DSPy as it is."""


async def test_dspy_does_not_differ_from_itself(rooms: Rooms) -> None:
    """Whatever the comparison finds is a difference of the two sides, not of two runs of one."""
    corpora = (corpus_programs, corpus_agents, corpus_fields, corpus_state)
    cases = [case for part in corpora for case in part.CASES[::9]]
    for case in cases:
        assert await differences(case, twin=no_twin, mode=case.modes[0], rooms=rooms) == {}, case.name


class _Twin(dspy.Predict):  # type: ignore[misc] # DSPy has no types
    """A twin with one mistake, which ``change`` makes."""

    def change(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return inputs

    def after(self, found: Any) -> Any:
        return found

    def forward(self, **inputs: Any) -> Any:
        return self.after(super().forward(**self.change(inputs)))

    async def aforward(self, **inputs: Any) -> Any:
        return self.after(await super().aforward(**self.change(inputs)))


class Spaced(_Twin):
    """One space more in the prompt."""

    def change(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {**inputs, "question": f"{inputs['question']} ."[:-1]} if "question" in inputs else inputs


class LastWins(dspy.ChatAdapter):  # type: ignore[misc] # DSPy has no types
    """Of two sections of a name the last one counts."""

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        first, found, rest = completion.rpartition("[[ ## answer ## ]]")
        return super().parse(signature, found + rest if found and first else completion)  # type: ignore[no-any-return]


class Careless(_Twin):
    """Parses in a way of its own."""

    def change(self, inputs: dict[str, Any]) -> dict[str, Any]:
        dspy.settings.context  # noqa: B018 - as a fast path would, it looks at the settings only
        return inputs

    async def aforward(self, **inputs: Any) -> Any:
        with dspy.context(adapter=LastWins()):
            return await super().aforward(**inputs)

    def forward(self, **inputs: Any) -> Any:
        with dspy.context(adapter=LastWins()):
            return super().forward(**inputs)


class Untraced(_Twin):
    """Leaves no trace."""

    def change(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {**inputs, "_trace": False}


class Retyped(_Twin):
    """An equal value of another type."""

    def after(self, found: Any) -> Any:
        for name, value in found.items():
            if type(value) is int:
                found[name] = float(value)
        return found


class Reordered(_Twin):
    """The same fields in another order."""

    def after(self, found: Any) -> Any:
        return dspy.Prediction(**dict(reversed(list(found.items()))))


class Incomplete(_Twin):
    """No completions."""

    def after(self, found: Any) -> Any:
        return dspy.Prediction(**found)


class Talkative(_Twin):
    """A warning of its own."""

    def after(self, found: Any) -> Any:
        logging.getLogger("agent_service.programs").warning("mine")
        return found


class Silent(_Twin):
    """A warning less."""

    def change(self, inputs: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in inputs.items() if name in self.signature.fields}


class Wrapped(_Twin):
    """The same error from another cause."""

    async def aforward(self, **inputs: Any) -> Any:
        try:
            return await super().aforward(**inputs)
        except dspy.LMError as error:
            raise error from None

    def forward(self, **inputs: Any) -> Any:
        try:
            return super().forward(**inputs)
        except dspy.LMError as error:
            raise error from None


class Greedy(_Twin):
    """Uses up its inputs' lists."""

    def after(self, found: Any) -> Any:
        found.answer = found.answer
        return found

    def change(self, inputs: dict[str, Any]) -> dict[str, Any]:
        inputs["question"].append("mine")
        return {**inputs, "question": inputs["question"][:-1]}


class Again(_Twin):
    """Asks twice."""

    async def aforward(self, **inputs: Any) -> Any:
        await super().aforward(**{**inputs, "_trace": False})
        return await super().aforward(**inputs)

    def forward(self, **inputs: Any) -> Any:
        super().forward(**{**inputs, "_trace": False})
        return super().forward(**inputs)


DOUBLE = f"{said(answer='4')}\n{said(answer='5')}"
MISTAKES: list[tuple[type[_Twin], str, Case]] = [
    (Spaced, "requests", predictor("p", QA, Q, FOUR)),
    (Careless, "outcomes", predictor("p", QA, Q, DOUBLE)),
    (Untraced, "traces", predictor("p", QA, Q, FOUR)),
    (Retyped, "outcomes", predictor("p", "question -> answer: int", Q, FOUR)),
    (Reordered, "outcomes", predictor("p", "question -> reasoning, answer", Q, FOUR)),
    (Incomplete, "outcomes", predictor("p", QA, Q, FOUR)),
    (Talkative, "logs", predictor("p", QA, Q, FOUR)),
    (Silent, "logs", predictor("p", QA, {**Q, "other": 1}, FOUR)),
    (Wrapped, "outcomes", predictor("p", QA, Q, raising(corpus_agents.too_long))),
    (Greedy, "notes", predictor("p", QA, {"question": ["q"]}, FOUR)),
    (Again, "requests", predictor("p", QA, Q, FOUR)),
    (Again, "usage", predictor("p", QA, Q, FOUR)),
    (Again, "events", predictor("p", QA, Q, FOUR)),
]


def twin(kind: type[_Twin]) -> Callable[[dspy.Module], None]:
    """Makes predictors ``kind``."""

    def take(module: dspy.Module) -> None:
        for part in module.predictors():
            part.__class__ = kind

    return take


@pytest.mark.parametrize("mode", BOTH)
@pytest.mark.parametrize(
    ("kind", "seen_in", "case"), MISTAKES, ids=lambda value: getattr(value, "__name__", str(value))
)
async def test_a_planted_mistake_is_found(
    kind: type[_Twin], seen_in: str, case: Case, mode: str, rooms: Rooms
) -> None:
    """Each thing that the comparison looks at, it looks at for a reason."""
    assert seen_in in await differences(case, twin=twin(kind), mode=mode, rooms=rooms)


async def test_what_tools_are_given_is_seen(rooms: Rooms) -> None:
    """An argument of an equal value and another type reaches a tool."""

    class Floating(dspy.ReAct):  # type: ignore[misc] # DSPy has no types
        def __getattribute__(self, name: str) -> Any:
            value = super().__getattribute__(name)
            return {key: _floating(tool) for key, tool in value.items()} if name == "tools" else value

    def _floating(tool: Any) -> Any:
        class Changed:
            async def acall(self, **arguments: Any) -> Any:
                return await tool.acall(**{name: float(item) for name, item in arguments.items()})

        return Changed()

    def take(module: dspy.Module) -> None:
        module.__class__ = Floating

    def make(stage: Stage) -> dspy.Module:
        def double(number: Any) -> str:
            """Double it."""
            stage.note("double", number)
            return "4"

        return dspy.ReAct(QA, tools=[double])

    case = Case("tool", make, replies=[step("double", number=2), step("finish"), FOUR])
    assert "notes" in await differences(case, twin=take, mode="async", rooms=rooms)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        ("1", 1),
        ([1], (1,)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": None}, {}),
        (ValueError("a"), ValueError("b")),
        (ValueError("a"), TypeError("a")),
        (dspy.LMRateLimitError("a", retry_after=1.0), dspy.LMRateLimitError("a")),
        (dspy.Prediction(a=1), dspy.Example(a=1)),
        (float("nan"), None),
        (dspy.Signature("a -> b"), dspy.Signature("a -> b: int")),
        (dspy.Signature("a -> b"), dspy.Signature("a -> b", "Other.")),
        (
            'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    x\nValueError: x',
            "ValueError: x",
        ),
    ],
)
def test_unlike_values_are_described_unlike(one: Any, other: Any) -> None:
    """Types, order and attributes count."""
    assert described(one) != described(other)


def test_like_values_are_described_alike() -> None:
    """Identities, addresses and the frames of a traceback do not count."""
    assert described(dspy.Signature("a -> b")) == described(dspy.Signature("a -> b"))
    assert described(float("nan")) == described(float("nan"))
    assert described("<f at 0x7f01>") == described("<f at 0x7f02>")
    one = 'Traceback (most recent call last):\n  File "a.py", line 1, in f\n    x\n    ^^\nValueError: x'
    other = 'Traceback (most recent call last):\n  File "b.py", line 2, in g\n    y\nValueError: x'
    assert described(one) == described(other)
