"""Cases: those of the chat adapter once more, with the JSON adapter and models of every ability."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from typing import TYPE_CHECKING, Any

import dspy

from agent_service.programs.fast.lm_internals import FIELD_HEADER
from tests.programs.fast import corpus_agents, corpus_calls, corpus_corners, corpus_fields, corpus_texts
from tests.programs.fast.corpus_types import Defaults, Everything, Point
from tests.programs.fast.differential_case import Case, as_json, no_settings, predictor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.programs.fast.differential_world import Stage

FORMAT = ("response_format",)
ABILITIES: tuple[dict[str, Any], ...] = (
    {},
    {"params": FORMAT},
    {"params": FORMAT, "schema": True},
    {"params": FORMAT, "schema": True, "tools": True, "reasoning": True},
)
QA = "question -> answer"
Q = {"question": "q"}

ANSWERS: dict[str, str] = {
    "right": as_json(answer="4"),
    "number for text": '{"answer": 4}',
    "null for text": '{"answer": null}',
    "list for text": '{"answer": [1, "a"]}',
    "more than asked": '{"more": 1, "answer": "4", "reasoning": "r"}',
    "nothing asked": '{"more": 1}',
    "empty object": "{}",
    "a list": '[{"answer": "4"}]',
    "a text": '"4"',
    "a number": "4",
    "null": "null",
    "fenced": '```json\n{"answer": "4"}\n```',
    "in prose": 'Here you are: {"answer": "4"}. Bye {x}.',
    "prose with braces": '{not} it {"answer": {"a": 1}} so',
    "single quotes": "{'answer': 'it\\'s'}",
    "trailing comma": '{"answer": "4",}',
    "unquoted": "{answer: 4}",
    "cut off": '{"answer": "4',
    "cut off early": '{"ans',
    "twice": '{"answer": "4"}{"answer": "5"}',
    "two lines": '{"answer": "4"}\n{"more": 5}',
    "duplicate": '{"answer": "4", "answer": "5"}',
    "not a number": '{"answer": NaN}',
    "escapes": '{"answer": "\\u00e9\\ud83d\\ude00\\ud800\\n\\u0000"}',
    "line ends": '{"answer": "a\nb\u2028c"}',
    "nested deep": '{"answer": ' + "[" * 200 + "]" * 200 + "}",
    "too deep": "[" * 3000,
    "empty": "",
    "blank": "  ",
    "in chat format": "[[ ## answer ## ]]\n4",
    "byte order mark": '\ufeff{"answer": "4"}',
}
TYPED = "question -> number: int, points: list[dict[str, float]], flag: bool, maybe: Optional[int]"
WORDS: dict[str, str] = {
    "right": as_json(number=1, points=[{"x": 1.5}], flag=True, maybe=None),
    "as texts": as_json(number="1", points='[{"x": "1.5"}]', flag="true", maybe="null"),
    "reordered": as_json(maybe=3, flag=False, points=[], number=2),
    "without the optional": as_json(flag=False, points=[], number=2),
    "wrong last": as_json(number=1, points=[], flag=True, maybe="many"),
    "wrong first": as_json(number="one", points="none", flag="x", maybe="many"),
    "fractions": as_json(number=1.5, points=[], flag=1, maybe=2.0),
    "bools": as_json(number=True, points=[], flag=0, maybe=False),
}


LOOSE = dspy.Signature(
    {
        "question": (str, dspy.InputField()),
        "answer": (str, dspy.OutputField()),
        "form": (Callable[[int], int] | None, dspy.OutputField()),
    },
    "Answer; of the form there is no schema.",
)


class Points(dspy.Signature):  # type: ignore[misc] # DSPy has no types
    """Find the points."""

    question: str = dspy.InputField()
    first: Point = dspy.OutputField(desc="the first")
    others: list[Point] = dspy.OutputField()


def by_json(_: Stage) -> Mapping[str, Any]:
    """DSPy's JSON adapter, as it is made."""
    return {"adapter": dspy.JSONAdapter()}


def in_json(reply: Any) -> Any:
    """A reply in the format of the chat adapter as a JSON object; any other as it is."""
    if not isinstance(reply, str) or "[[ ## " not in reply:
        return reply
    parts = FIELD_HEADER.split(reply)[1:]
    values = {name: _value(text.strip()) for name, text in zip(parts[::2], parts[1::2], strict=True)}
    values.pop("completed", None)
    return json.dumps(values, ensure_ascii=False)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _once_more() -> list[Case]:
    parts = (corpus_agents, corpus_calls, corpus_corners, corpus_fields, corpus_texts)
    usable = [
        case
        for part in parts
        for case in part.CASES
        if case.settings is no_settings and not callable(case.replies) and "async" in case.modes
    ]
    return [
        replace(
            case,
            name=f"{case.name}, in JSON",
            settings=by_json,
            replies=[in_json(reply) for reply in case.replies],
            can={**able, **case.can},
            modes=("async",),
        )
        for case, able in zip(usable, cycle(ABILITIES), strict=False)
    ]


def _asked(name: str, signature: Any, reply: str, inputs: Mapping[str, Any] = Q, **more: Any) -> Case:
    return predictor(f"in JSON: {name}", signature, inputs, reply, settings=by_json, **more)


CONFIGS: dict[str, dict[str, Any]] = {
    "format": {"response_format": {"type": "json_object"}},
    "n": {"n": 2},
    "temperature": {"temperature": 0.3},
    "tools": {"tools": [], "tool_choice": "auto"},
    "parallel": {"parallel_tool_calls": True},
}


def _configured(config: dict[str, Any]) -> Callable[[Stage], dspy.Module]:
    return lambda _: dspy.Predict(QA, **config)


CASES: list[Case] = [
    *_once_more(),
    *(_asked(f"answered {name}", QA, reply, can=ABILITIES[2]) for name, reply in ANSWERS.items()),
    *(_asked(f"words {name}", TYPED, reply, modes=("async",)) for name, reply in WORDS.items()),
    *(
        _asked(f"{kind}, {number}", signature, reply, inputs, can=able)
        for number, able in enumerate(ABILITIES)
        for kind, signature, reply, inputs in (
            ("points", Points, as_json(first={"x": 1}, others=[{"x": 2, "y": 0.5}]), Q),
            ("defaults", Defaults, as_json(answer="4"), {}),
            ("open table", "question -> table: dict[str, int]", as_json(table={"a": 1}), Q),
            ("without a schema", LOOSE, as_json(answer="4"), Q),
            ("everything", Everything, "{}", {"text": "t"}),
        )
    ),
    *(
        Case(
            f"in JSON: config {name}",
            _configured(config),
            settings=by_json,
            replies=[ANSWERS["right"]],
            can=ABILITIES[2],
            modes=("async",),
        )
        for name, config in CONFIGS.items()
    ),
]
