"""Cases: fields of every type, as inputs and as outputs."""

from __future__ import annotations

import datetime as dt
import decimal
import pathlib
import uuid
from collections import OrderedDict
from typing import Any, Literal, Optional, Union

import dspy

from tests.programs.conftest import said
from tests.programs.fast.corpus_types import (
    Chat,
    Colour,
    Defaults,
    Event,
    Everything,
    Mood,
    Native,
    Pair,
    Person,
    Plain,
    Point,
    Row,
    Shout,
    Size,
    Strict,
    Undescribed,
)
from tests.programs.fast.differential_case import BOTH, Case, as_json, predictor

WHEN = dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.timezone.utc)
ADA = Person(name="Ada", age=36, home=Point(x=1, y=2.5), friends=[Person(name="Bob")])
IDENTITY = uuid.UUID(int=7)
DICT_ANY = dict[str, Any]
PIXEL = "data:image/png;base64,iVBORw0KGgo="

INPUTS: dict[str, tuple[Any, list[Any]]] = {
    "str": (
        str,
        ["", " padded \n", 5, None, True, 1.5, ["one"], ["one", "two\nlines", "«quoted»"], [], {"a": 1}],
    ),
    "str-subclass": (str, [Shout("quiet"), Mood.GLAD, Plain(), object]),
    "int": (int, [3, -1, True, "3", 10**30, 2.0]),
    "float": (float, [0.1, 1e300, float("nan"), float("inf"), 3, "x"]),
    "bool": (bool, [True, False, "yes", 0]),
    "none": (Optional[str], [None, "x", ""]),  # noqa: UP045 - DSPy tells the two spellings apart
    "list": (list[str], [[], ["a", "b"], ("a",), ["é", "\u2028"], "text"]),
    "list-any": (list, [[1, None, {"a": [True]}], [Plain()], [ADA, Colour.RED]]),
    "dict": (dict[str, int], [{}, {"a": 1, "b": 2}, {1: 2}, {"é": float("nan")}, OrderedDict(z=1, a=2)]),
    "dict-deep": (
        DICT_ANY,
        [
            {
                "a": {
                    "b": [
                        WHEN,
                        IDENTITY,
                        decimal.Decimal("1.10"),
                        b"bytes",
                        {
                            1,
                        },
                    ]
                }
            }
        ],
    ),
    "tuple": (tuple[int, str], [(1, "a"), [1, "a"]]),
    "set": (set[int], [{3}, frozenset({4})]),
    "bytes": (bytes, [b"text", b"\xff\xfe"]),
    "date": (dt.date, [WHEN.date(), WHEN, WHEN.time(), dt.timedelta(days=1, seconds=2)]),
    "path": (pathlib.PurePosixPath, [pathlib.PurePosixPath("/a/b")]),
    "enum": (Colour, [Colour.RED, "red", Size.LARGE]),
    "literal": (Literal["a", "b"], ["a", "z"]),
    "union": (Union[int, str, None], [1, "1", None]),  # noqa: UP007 - DSPy tells the two spellings apart
    "model": (Person, [ADA, ADA.model_dump(), "Ada", Strict(id=IDENTITY, when=WHEN)]),
    "models": (list[Person], [[ADA, ADA], [{"name": "x"}]]),
    "dataclass": (Pair, [Pair("l", 2), {"left": "l"}]),
    "typed-dict": (Row, [{"key": "k", "count": 2}]),
    "any": (Any, ["x", 1, None, Plain(), ADA, lambda: 1]),
    "image": (dspy.Image, [dspy.Image(url="https://example.org/a.png"), dspy.Image(url=PIXEL), "no image"]),
    "images": (list[dspy.Image], [[dspy.Image(url="https://example.org/a.png")] * 2]),
    "code": (dspy.Code, [dspy.Code(code="x = 1\n"), "y = 2"]),
    "custom": (Event, [Event(title="tea", hour=5), [Event(title="a"), Event(title="b")]]),
    "reasoning": (dspy.Reasoning, [dspy.Reasoning(content="so")]),
    "document": (str, [dspy.Reasoning(content="in a text field"), Event(title="in a text field")]),
}

OUTPUTS: dict[str, tuple[Any, list[str]]] = {
    "str": (str, ["4", "", "  4  ", '"4"', "null", "```\n4\n```", "a\n\n\nb"]),
    "int": (
        int,
        ["4", " 4 ", "4.0", "4.5", "four", "1_000", "0x10", "", "True", "'4'", "4 apples", "9" * 400],
    ),
    "float": (float, ["4", "4.5", "1e3", "nan", "inf", "-Infinity", ".5", "50%", "1,5", ""]),
    "bool": (bool, ["True", "false", "yes", "0", "2", "on", "", "None"]),
    "literal": (
        Literal["a", "b c", "it's"],
        ["a", " b c ", "'a'", '"a"', "Literal[a]", "Literal['b c']", "str[a]", "A", "it's", "a.", ""],
    ),
    "literal-mixed": (
        Literal[1, "two", True, None, 2.5],  # noqa: PYI061 - None among literals is the case
        ["1", "two", "True", "None", "2.5", "'1'", "3", "null"],
    ),
    "enum": (Colour, ["red", "RED", "GREEN", "Red", " red", "'red'", "Colour.RED", ""]),
    "enum-int": (Size, ["1", "SMALL", "small", "2"]),
    "enum-str": (Mood, ["glad", "SAD", "none"]),
    "optional-str": (Optional[str], ["x", "None", "null", "", "5"]),  # noqa: UP045 - DSPy tells the two spellings apart
    "optional-int": (Optional[int], ["5", "None", "null", "", "x"]),  # noqa: UP045 - DSPy tells the two spellings apart
    "union": (Union[int, str], ["5", "five", '"5"', "5.5", "[1]", "null"]),  # noqa: UP007 - DSPy tells the two spellings apart
    "union-models": (
        Union[Point, Person, None],  # noqa: UP007 - DSPy tells the two spellings apart
        ['{"x": 1}', '{"name": "n"}', "null", "nothing", '{"x": "1"}'],
    ),
    "list-str": (
        list[str],
        [
            '["a", "b"]',
            "['a', 'b']",
            "[]",
            "a, b",
            '["a"',
            "- a\n- b",
            '```json\n["a"]\n```',
            "[1, 2]",
            '["a",]',
        ],
    ),
    "list-int": (list[int], ["[1, 2]", '["1", 2.0]', "[1.5]", "1", "(1, 2)", "[1, [2]]"]),
    "dict": (
        dict[str, int],
        ['{"a": 1}', "{'a': 1}", "{a: 1}", "{}", '{"a": "x"}', '{"a": 1} and more', "{1: 2}"],
    ),
    "dict-any": (
        DICT_ANY,
        ['{"a": {"b": [1, null, true]}}', '{"a": NaN}', "None", '[{"a": 1}]', '{"a": "\\u00e9"}'],
    ),
    "tuple": (tuple[int, str], ['[1, "a"]', "(1, 'a')", "[1]"]),
    "set": (set[int], ["[1, 1, 2]", "{1, 2}"]),
    "date": (dt.date, ["2024-02-29", '"2024-02-29"', "2023-02-29", "yesterday", "0"]),
    "datetime": (dt.datetime, ["2024-02-29T12:30:00Z", "2024-02-29", "0", "x"]),
    "bytes": (bytes, ["abc", "é"]),
    "model": (
        Person,
        [
            '{"name": "Ada", "age": "36", "born": "1815-12-10"}',
            '{"name": ""}',
            "{name: 'Ada', friends: [{name: Bob}]}",
            '```json\n{"name": "Ada"}\n```',
            'Here you are: {"name": "Ada"}',
            '{"name": "Ada", "extra": 1}',
            "Ada",
            "",
        ],
    ),
    "models": (list[Point], ['[{"x": 1}, {"x": 2, "y": 3}]', '{"x": 1}', "[{}]"]),
    "strict": (Strict, ['{"id": "00000000-0000-0000-0000-000000000007", "when": "2024-02-29"}', '{"id": 7}']),
    "dataclass": (Pair, ['{"left": "l"}', '{"left": 1}']),
    "typed-dict": (Row, ['{"key": "k", "count": "2"}', '{"key": "k"}']),
    "any": (Any, ["x", "5", '{"a": 1}', ""]),
    "code": (dspy.Code, ["x = 1", "```python\nx = 1\n```", '{"code": "x = 1"}', ""]),
    "custom": (Event, ['{"title": "tea"}', "tea"]),
    "reasoning": (dspy.Reasoning, ["because", "", '{"content": "because"}']),
    "tool-calls": (
        dspy.ToolCalls,
        [
            '{"tool_calls": [{"name": "a", "args": {"b": 1}}]}',
            '[{"name": "a", "args": {}}]',
            '{"name": "a"}',
            "a()",
        ],
    ),
    "image": (dspy.Image, ["https://example.org/a.png", "no"]),
}


def _of_types(types: dict[str, Any], instructions: str = "Do it.") -> Any:
    fields = {
        name: (kind, dspy.InputField() if name.startswith("given") else dspy.OutputField())
        for name, kind in types.items()
    }
    return dspy.Signature(fields, instructions)


def _modes(number: int) -> tuple[str, ...]:
    """The first of each type goes both ways: the plan is the same, however it is called."""
    return BOTH if number == 0 else BOTH[:1]


def _input_cases() -> list[Case]:
    return [
        predictor(
            f"input {name} {number}",
            _of_types({"given": kind, "answer": str}),
            {"given": value},
            said(answer="4"),
            modes=_modes(number),
        )
        for name, (kind, values) in INPUTS.items()
        for number, value in enumerate(values)
    ]


def _output_cases() -> list[Case]:
    """Each answer as text, then, when that cannot be read, once more as JSON."""
    return [
        predictor(
            f"output {name} {number}",
            _of_types({"given": str, "result": kind, "note": str}),
            {"given": "q"},
            said(result=text, note="n"),
            as_json(result=text, note="n"),
            modes=_modes(number),
        )
        for name, (kind, texts) in OUTPUTS.items()
        for number, text in enumerate(texts)
    ]


EVERYTHING = {
    "text": "t",
    "number": 3,
    "names": ["a"],
    "table": {"k": 1},
    "person": ADA,
    "maybe": None,
}
ALL_OUT = {"colour": "RED", "kind": "b c", "points": '[{"x": 1}]', "score": "0.5", "either": "7"}
TURNS = [{"question": "1?", "answer": "one"}, {"question": "2?"}, {"answer": "only"}, {"other": "x"}, {}]
HISTORY = dspy.History(messages=TURNS)
TYPED_TURNS = dspy.History(messages=[{"question": ["a", "b"], "answer": {"deep": [1]}}])
SEARCH = dspy.Tool(lambda query: query, name="search", desc="Search.", args={"query": {"type": "string"}})
CALLS = '{"tool_calls": [{"name": "search", "args": {"query": "x"}}]}'

CASES: list[Case] = [
    *_input_cases(),
    *_output_cases(),
    predictor("everything", Everything, EVERYTHING, said(**ALL_OUT)),
    predictor(
        "everything, thought over",
        Everything,
        EVERYTHING,
        said(reasoning="r", **ALL_OUT),
        kind=dspy.ChainOfThought,
    ),
    predictor("everything, as JSON", Everything, EVERYTHING, "no", as_json(**ALL_OUT)),
    predictor("undescribed", Undescribed, {"question": "q"}, said(answer="4")),
    predictor("undescribed, of another type", Undescribed, {"question": 5}, said(answer="4")),
    predictor("defaults", Defaults, {}, said(answer="4")),
    predictor(
        "defaults, given", Defaults, {"question": "q"}, said(answer="4", remark="r", tags='["t"]', rank="1")
    ),
    predictor("defaults, without what must be", Defaults, {}, said(remark="r"), as_json(rank=1)),
    predictor("history", Chat, {"question": "q", "history": HISTORY}, said(answer="4")),
    predictor("history of values", Chat, {"question": "q", "history": TYPED_TURNS}, said(answer="4")),
    predictor(
        "history, empty", Chat, {"question": "q", "history": dspy.History(messages=[])}, said(answer="4")
    ),
    predictor("history, missing", Chat, {"question": "q"}, said(answer="4")),
    predictor("history, none", Chat, {"question": "q", "history": None}, said(answer="4")),
    predictor("history, a list", Chat, {"question": "q", "history": TURNS}, said(answer="4")),
    predictor("history, read again", Chat, {"question": "q", "history": HISTORY}, "bad", as_json(answer="4")),
    predictor(
        "history, thought",
        Chat,
        {"question": "q", "history": HISTORY},
        said(reasoning="r", answer="4"),
        kind=dspy.ChainOfThought,
    ),
    predictor("tools", Native, {"question": "q", "tools": [SEARCH]}, said(calls=CALLS)),
    predictor(
        "tools, read again",
        Native,
        {"question": "q", "tools": [SEARCH]},
        "bad",
        as_json(calls=CALLS),
        can={"tools": True},
    ),
    predictor("two outputs, one type", "a, b -> c, d: int", {"a": 1, "b": [2]}, said(c="x", d="1")),
    predictor("an input called completed", "completed -> answer", {"completed": "q"}, said(answer="4")),
    predictor(
        "names of digits and capitals", "q1, Q_2 -> a_1, A2", {"q1": "x", "Q_2": "y"}, said(a_1="x", A2="y")
    ),
    predictor(
        "thought of its own kind",
        "question -> reasoning, answer",
        {"question": "q"},
        said(reasoning="r", answer="4"),
    ),
]
