"""Made-up programs: signatures, inputs, demos, answers and the ways in which answers go wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, Optional

import dspy
from hypothesis import strategies as st

from tests.programs.fast.corpus_json import ABILITIES, by_json
from tests.programs.fast.corpus_native import ADAPTERS, CAN, script, settings
from tests.programs.fast.corpus_tools import toolbox
from tests.programs.fast.corpus_types import Colour, Point
from tests.programs.fast.differential_case import Case, no_settings, step

if TYPE_CHECKING:
    from dspy import lm15

_ADAPTERS = st.sampled_from([no_settings, by_json])
_LETTERS = "ab \n\r\t\u2028\x85\x0c\u00e9\u05e9\U0001f600\x00\"'`{}[]<>#:,\\$%-0"
_PIECES = (
    "[[ ## answer ## ]]",
    "[[ ## completed ## ]]",
    "[[ ## ",
    " ## ]]",
    "null",
    "```",
    "\r\n",
    '{"a": 1}',
    "«",
    "N/A",
)
texts = st.lists(st.one_of(st.text(_LETTERS, max_size=6), st.sampled_from(_PIECES)), max_size=4).map("".join)
names = st.one_of(
    st.sampled_from(
        ["question", "answer", "reasoning", "completed", "trajectory", "next_thought", "context", "A1"]
    ),
    st.from_regex(r"f[a-zA-Z0-9_]{0,5}", fullmatch=True),
)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 10**20), st.floats(allow_nan=False), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=5,
)
_NUMBERS = ["4", " 4 ", "-4.5", "4.0", "1e3", "x", "", "True", "None", '"4"', "4,5", "inf"]
_LISTS = ['["a", "b"]', "['a']", "[]", "a, b", '["a"', "[1, null]", "null", "- a\n- b"]
_OBJECTS = [
    '{"x": 1}',
    '{"x": "1", "y": 2}',
    "{'x': 1}",
    "{x: 1}",
    "{}",
    '{"y": 1}',
    "x=1",
    '```json\n{"x": 1}\n```',
]

TYPES: tuple[tuple[Any, Any, Any], ...] = (
    (str, texts, texts),
    (int, st.integers(), st.sampled_from(_NUMBERS)),
    (float, st.floats(), st.sampled_from(_NUMBERS)),
    (bool, st.booleans(), st.sampled_from(["True", "false", "1", "yes", "", "x"])),
    (Optional[str], st.none() | texts, texts),  # noqa: UP045 - DSPy tells the two spellings apart
    (Optional[int], st.none() | st.integers(), st.sampled_from(_NUMBERS)),  # noqa: UP045 - DSPy tells the two spellings apart
    (list[str], st.lists(texts, max_size=3), st.sampled_from(_LISTS)),
    (list[int], st.lists(st.integers(), max_size=3), st.sampled_from(["[1, 2]", '["1"]', "[1.5]", "1"])),
    (dict[str, Any], st.dictionaries(texts, json_values, max_size=3), st.sampled_from(_OBJECTS)),
    (
        Literal["a", "b c", 3],
        st.sampled_from(["a", "b c", 3]),
        st.sampled_from(["a", "'a'", "b c", "3", "A", ""]),
    ),
    (Colour, st.sampled_from(Colour), st.sampled_from(["red", "RED", "GREEN", "Red", ""])),
    (Point, st.builds(Point, x=st.integers(), y=st.floats(0, 1)), st.sampled_from(_OBJECTS)),
    (
        list[Point],
        st.lists(st.builds(Point, x=st.integers()), max_size=2),
        st.sampled_from(['[{"x": 1}]', "[]", "{}"]),
    ),
    (Any, json_values, texts),
)
_KINDS = st.sampled_from(TYPES)


def _field(make: Any, desc: str | None) -> Any:
    return make() if desc is None else make(desc=desc)


@st.composite
def _fields(draw: st.DrawFn) -> dict[str, tuple[bool, Any]]:
    """By name: whether it is an input, and its kind."""
    found = draw(st.lists(names, min_size=2, max_size=5, unique=True))
    inputs = draw(st.integers(1, len(found) - 1))
    return {name: (number < inputs, draw(_KINDS)) for number, name in enumerate(found)}


def _signature(draw: st.DrawFn, fields: dict[str, tuple[bool, Any]]) -> Any:
    descs = st.none() | texts
    made = {
        name: (kind[0], _field(dspy.InputField if is_input else dspy.OutputField, draw(descs)))
        for name, (is_input, kind) in fields.items()
    }
    return dspy.Signature(made, draw(texts))


def _some(draw: st.DrawFn, values: dict[str, Any]) -> dict[str, Any]:
    """Mostly all of them; sometimes not, or with a value of any kind."""
    change = draw(st.sampled_from(["none", "none", "none", "drop", "other", "more"]))
    if change == "none" or not values:
        return values
    name = draw(st.sampled_from(list(values)))
    if change == "drop":
        return {key: value for key, value in values.items() if key != name}
    return {**values, name if change == "other" else "more": draw(json_values)}


def _demo(draw: st.DrawFn, fields: dict[str, tuple[bool, Any]]) -> dict[str, Any]:
    return _some(draw, {name: draw(kind[1]) for name, (_, kind) in fields.items()})


def _mutated(draw: st.DrawFn, sections: list[str]) -> list[str]:
    """An answer's sections with something dropped, doubled, moved, spoilt or added."""
    number = draw(st.integers(0, len(sections) - 1))
    section = sections[number]
    return draw(
        st.sampled_from(
            [
                sections,
                sections[:number] + sections[number + 1 :],
                [*sections, section],
                [section, *sections],
                sections[::-1],
                [*sections[:number], section.replace(" ## ]]", "##]]"), *sections[number + 1 :]],
                [*sections[:number], "  " + section.replace("\n", " ", 1), *sections[number + 1 :]],
                [*sections[:number], section.replace("\n", "\r\n"), *sections[number + 1 :]],
                [draw(texts), *sections],
                [*sections[:number], draw(texts), *sections[number:]],
                [*sections, draw(texts)],
                [f"**{section}**", *sections],
            ]
        )
    )


def _answer(draw: st.DrawFn, values: dict[str, Any]) -> str:
    sections = [f"[[ ## {name} ## ]]\n{value}" for name, value in values.items()]
    sections.append("[[ ## completed ## ]]")
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        sections = _mutated(draw, sections) or [""]
    return draw(st.sampled_from(["\n\n", "\n", "\n\n", " "])).join(sections)


def _second_answer(draw: st.DrawFn, values: dict[str, Any]) -> str:
    text = json.dumps(_some(draw, values))
    return draw(
        st.sampled_from(
            [text, text, f"```json\n{text}\n```", f"So: {text}.", text[:-1], text.replace('"', "'")]
        )
    )


def _default_reasoning(kind: Any, values: dict[str, Any]) -> dict[str, Any]:
    return {"reasoning": "r", **values} if kind is dspy.ChainOfThought else values


@st.composite
def predictions(draw: st.DrawFn) -> Case:
    """One predictor, asked twice."""
    fields = draw(_fields())
    kinds = [dspy.Predict] if "reasoning" in fields else [dspy.Predict, dspy.ChainOfThought]
    kind, signature = draw(st.sampled_from(kinds)), _signature(draw, fields)
    demos = [_demo(draw, fields) for _ in range(draw(st.integers(0, 2)))]
    asked = [
        _some(draw, {name: draw(drawn[1]) for name, (is_input, drawn) in fields.items() if is_input})
        for _ in range(2)
    ]
    values = {name: draw(drawn[2]) for name, (is_input, drawn) in fields.items() if not is_input}
    values = _default_reasoning(kind, values)
    first, second = _answer(draw, values), _second_answer(draw, values)

    def make(_: Any) -> dspy.Module:
        module = kind(signature)
        module.predictors()[0].demos = [dict(demo) for demo in demos]
        return module

    async def play(stage: Any, module: dspy.Module) -> None:
        for inputs in asked:
            await stage.call(module, **inputs)

    return Case(
        "made up",
        make,
        replies=lambda request: second if _for_json(request) else first,
        play=play,
        settings=draw(_ADAPTERS),
        can=draw(st.sampled_from(ABILITIES)),
    )


_ARGUMENTS = st.one_of(
    st.just({"word": "a"}),
    st.just({"word": "a", "times": 2}),
    st.dictionaries(
        st.sampled_from(["word", "times", "loud", "by", "a", "b", "kind", "more"]), json_values, max_size=3
    ),
    st.fixed_dictionaries({"word": texts}, optional={"times": json_values, "loud": json_values}),
)
_TOOLS = ("take", "atake", "rest", "untyped", "nothing", "Counter")


def _choice(name: str, thought: str, given: dict[str, Any]) -> dict[str, Any]:
    return {"next_thought": thought, "next_tool_name": name, "next_tool_args": given}


def _spoilt(draw: st.DrawFn, text: str) -> str:
    """Mostly the text itself."""
    spoilt = [draw(texts), text.replace("{", "", 1), text.replace('"', "'"), text[:-3]]
    return draw(st.sampled_from([text] * 16 + spoilt))


def _asked(request: lm15.Request) -> str:
    return request.messages[-1].parts[0].text  # type: ignore[no-any-return] # untyped


def _for_json(request: lm15.Request) -> bool:
    return "Respond with a JSON object" in _asked(request)


@st.composite
def episodes(draw: st.DrawFn) -> Case:
    """An agent and what its model says, sense and nonsense."""
    tools = draw(st.lists(st.sampled_from(_TOOLS), min_size=1, max_size=3, unique=True))
    called = st.sampled_from([*tools, "finish", "unknown"])
    steps = [(draw(called), draw(texts), draw(_ARGUMENTS)) for _ in range(draw(st.integers(1, 4)))]
    said_ = [_spoilt(draw, step(name, thought=thought, **given)) for name, thought, given in steps]
    as_json = [_spoilt(draw, json.dumps(_choice(*chosen))) for chosen in steps]
    end = {"reasoning": "r", "answer": draw(texts)}
    ends = _answer(draw, end), _second_answer(draw, end)

    def replies(request: lm15.Request) -> str:
        if "next_thought" not in _asked(request).rpartition("Respond with ")[2]:
            return ends[_for_json(request)]
        number = min(_asked(request).count("[[ ## observation_"), len(steps) - 1)
        return (as_json if _for_json(request) else said_)[number]

    limit, question = draw(st.integers(0, 4)), draw(texts)

    def make(stage: Any) -> dspy.Module:
        return dspy.ReAct("question -> answer", tools=toolbox(stage, *tools), max_iters=limit)

    return Case("made up", make, inputs={"question": question}, replies=replies, settings=draw(_ADAPTERS))


@st.composite
def second_episodes(draw: st.DrawFn) -> Case:
    """DSPy's second agent and what its model calls, natively or by text, sense and nonsense."""
    tools = draw(st.lists(st.sampled_from(_TOOLS), min_size=1, max_size=3, unique=True))
    call = st.tuples(st.sampled_from([*tools, "submit", "unknown"]), _ARGUMENTS)
    submit = st.tuples(st.just("submit"), st.fixed_dictionaries({"answer": texts}))
    turns: list[Any] = draw(
        st.lists(st.one_of(st.lists(call, max_size=2), texts, st.just([])), min_size=1, max_size=4)
    )
    turns.append([draw(submit)])
    limit, question, adapter = draw(st.integers(0, 4)), draw(texts), draw(st.sampled_from(list(ADAPTERS)))
    earlier = draw(
        st.lists(st.fixed_dictionaries({}, optional={"question": texts, "answer": texts}), max_size=2)
    )

    def make(stage: Any) -> dspy.Module:
        return dspy.ReActV2("question -> answer", tools=toolbox(stage, *tools), max_iters=limit)

    async def play(stage: Any, module: dspy.Module) -> None:
        history = dspy.History(messages=[dict(turn) for turn in earlier])
        for _ in range(2):
            await stage.call(module, question=question, history=history)

    return Case(
        "made up",
        make,
        replies=script(*turns),
        play=play,
        settings=settings(adapter),
        can=draw(st.sampled_from(list(CAN.values()))),
    )
