"""A tool with compiled checks does what DSPy's does with the same arguments."""

from __future__ import annotations

import asyncio
import enum
from typing import Annotated, Any, Literal

import dspy
import pytest
from dspy.utils.callback import BaseCallback
from pydantic import BaseModel, Field

from agent_service.programs.fast.tools import CheckedTool


class Colour(enum.Enum):
    RED = "r"


class Point(BaseModel):
    x: int
    y: float = 0.5


def one(number: int) -> Any:
    return number


def many(
    point: Point,
    points: list[Point],
    colour: Colour = Colour.RED,
    kind: Literal["a", "b"] = "a",
    maybe: str | None = None,
    few: Annotated[int, Field(le=3)] = 1,
) -> Any:
    return point, points, colour, kind, maybe, few


def anything(first, *, second=None, **rest: Any) -> Any:  # type: ignore[no-untyped-def]  # noqa: ANN001 - that is the case
    return first, second, rest


def failing(number: int) -> Any:
    raise ValueError(number)


async def waiting(number: int) -> Any:
    await asyncio.sleep(0)
    return number


def later(number: int) -> Any:
    return waiting(number)


NUMBERS: tuple[Any, ...] = (1, "1", 1.0, 1.5, True, None, [1], {})
CALLS: list[tuple[Any, dict[str, Any]]] = [
    *((one, {"number": value}) for value in NUMBERS),
    (one, {}),
    (one, {"number": 1, "more": 2}),
    (
        many,
        {
            "point": {"x": 1},
            "points": [{"x": 2, "y": 3}],
            "colour": "r",
            "kind": "b",
            "maybe": None,
            "few": 2,
        },
    ),
    (many, {"point": Point(x=1), "points": []}),
    (many, {"point": {"x": "one"}, "points": []}),
    (many, {"point": {"x": 1}, "points": {}}),
    (many, {"point": {"x": 1}, "points": [], "colour": "blue"}),
    (many, {"point": {"x": 1}, "points": [], "kind": "c"}),
    (many, {"point": {"x": 1}, "points": [], "maybe": 3}),
    (many, {"point": {"x": 1}, "points": [], "few": 4}),
    (anything, {"first": object}),
    (anything, {"first": 1, "second": [2], "third": 3}),
    (failing, {"number": 1}),
    (waiting, {"number": 1}),
    (later, {"number": "x"}),
    (later, {"number": 1}),
]


@pytest.mark.parametrize(("function", "arguments"), CALLS)
async def test_results_and_errors_are_those_of_the_tool(function: Any, arguments: dict[str, Any]) -> None:
    """In value and words, for both ways of calling."""
    tool = dspy.Tool(function)
    checked = CheckedTool(tool)
    assert await _ended(checked.acall, arguments) == await _ended(tool.acall, arguments)
    with dspy.context(allow_tool_async_sync_conversion=True):
        there = await asyncio.to_thread(_called, tool, arguments)
        assert await asyncio.to_thread(_called, checked, arguments) == there


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "Any"},
        {},
        {"type": "wrong"},
        {"type": ["string", "null"]},
        {"type": "string", "minLength": 2},
    ],
)
async def test_schemas_of_ones_own_are_checked_as_dspy_checks_them(schema: dict[str, Any]) -> None:
    """The broken one fails at each call, in DSPy's words."""
    tool = dspy.Tool(lambda text: text, name="own", args={"text": schema}, arg_types={})
    for text in ("ab", "a", 3):
        assert await _ended(CheckedTool(tool).acall, {"text": text}) == await _ended(
            tool.acall, {"text": text}
        )


async def test_a_schema_that_is_exchanged_counts() -> None:
    """What was compiled of the old one does not."""
    tool = dspy.Tool(one)
    checked = CheckedTool(tool)
    tool.args["number"], tool.arg_types["number"] = {"type": "string"}, str
    assert await checked.acall(number="two") == "two"


async def test_callbacks_hear_of_the_call() -> None:
    """With somebody listening the tool is called as DSPy calls it."""
    heard: list[str] = []

    class Listening(BaseCallback):  # type: ignore[misc] # untyped
        def on_tool_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
            heard.append(instance.name)

    with dspy.context(callbacks=[Listening()]):
        await CheckedTool(dspy.Tool(one)).acall(number=1)
        CheckedTool(dspy.Tool(one))(number=1)
    assert heard == ["one", "one"]


def test_it_has_the_tools_name_and_function() -> None:
    """The seam asks for them."""
    checked = CheckedTool(dspy.Tool(one))
    assert (checked.name, checked.func) == ("one", one)


async def _ended(call: Any, arguments: dict[str, Any]) -> Any:
    try:
        return repr(await call(**arguments))
    except Exception as error:  # noqa: BLE001 - how it ends is what is compared
        return type(error), str(error)


def _called(call: Any, arguments: dict[str, Any]) -> Any:
    try:
        return repr(call(**arguments))
    except Exception as error:  # noqa: BLE001 - the same
        return type(error), str(error)
