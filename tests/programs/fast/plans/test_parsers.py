"""Answers are read as DSPy reads them."""

from __future__ import annotations

import enum
from typing import Any, Literal, Optional, Union

import dspy
import pytest
from dspy.adapters.utils import parse_value
from dspy.utils.exceptions import AdapterParseError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from agent_service.programs.fast.plans.parsers import UnreadableError, parser_of, read_chat, read_json
from tests.programs.conftest import said


class Colour(enum.Enum):
    RED = "r"
    BLUE = 2


class Point(BaseModel):
    x: int
    y: float = 0.5


TYPES = [
    *(str, int, float, bool, Colour, Point, Any, None, list[int], dict[str, Any], tuple[int, str], set[str]),
    Literal["a", "b c", 3],
    str | None,
    int | list[int],
    Optional[str],  # noqa: UP045 - to DSPy it is another type than str | None
    Union[int, str, None],  # noqa: UP007 - the same
]
TEXTS = [
    *(
        "",
        "a",
        "'a'",
        '"b c"',
        "Literal[a]",
        "3",
        "-1.5",
        "True",
        "false",
        "null",
        "None",
        "r",
        "RED",
        "BLUE",
    ),
    *(
        "2",
        '{"x": 1}',
        '{"x": "1", "y": 2}',
        "{'x': 1,}",
        '{"x": 1',
        "[1, 2]",
        "[1, 2",
        "(1, 'a')",
        '["1", "b"]',
    ),
    *('""', "''", "NaN", "1" * 5000, "ünïcode", "[[ ## x ## ]]", '```json\n{"x": 3}\n```'),
]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("annotation", TYPES, ids=str)
def test_a_text_becomes_the_value_that_dspy_makes_of_it(annotation: Any, text: str) -> None:
    """In value and type; what DSPy refuses is refused."""
    assert _value(parser_of(annotation), text) == _value(parse_value, text, annotation)


@pytest.mark.parametrize(
    "answer",
    [
        said(a="1", b="two"),
        said(b="two", a="1"),
        said(a="1", b="first") + said(a="2", b="second"),
        "before\n[[ ## a ## ]] 1\n[[ ## b ## ]] on the line  \nand after\r\nand\u2028more\x0b.",
        "  [[ ## a ## ]] 1\n\t[[ ## b ## ]] indented",
        "[[ ## a ## ]]\n1\n[[ ## other ## ]]\n2\n[[ ## b ## ]]\nsee [[ ## a ## ]] there\n[[ ## c ## ]]",
        "[[ ## a ## ]]\n1\n[[ ## b ## ]]\n[[ ##b## ]]\n[[ ## b c ## ]]\n[[ ## ünï ## ]] end",
        "[[ ## a ## ]]1\n[[ ## b ## ]]",
    ],
)
def test_an_answer_is_divided_as_dspy_divides_it(answer: str) -> None:
    """Headers at the begin of a line, the first of each name, and DSPy's own slicing of their lines."""
    signature = dspy.Signature("q -> a: str, b: str")
    read_here = read_chat(answer, {"a": str, "b": str})
    read_there = dspy.ChatAdapter().parse(signature, answer)
    assert list(read_here.items()) == list(read_there.items())


_PIECES = st.sampled_from(
    [
        "[[ ## a ## ]]",
        "[[ ## b ## ]]",
        "[[ ## ",
        "\n",
        "\n",
        "\r\n",
        "\r",
        "\x0b",
        "\u2028",
        " ",
        "\t",
        "x",
        "\x00",
    ]
)


@given(answer=st.lists(_PIECES, max_size=16).map("".join))
def test_any_answer_is_divided_as_dspy_divides_it(answer: str) -> None:
    """Whatever breaks its lines, and wherever its headers stand."""
    signature = dspy.Signature("q -> a: str, b: str")
    try:
        expected = list(dspy.ChatAdapter().parse(signature, answer).items())
    except AdapterParseError:
        with pytest.raises(UnreadableError):
            read_chat(answer, {"a": str, "b": str})
    else:
        assert list(read_chat(answer, {"a": str, "b": str}).items()) == expected


def test_an_answer_without_a_field_is_not_readable_here() -> None:
    """Whether there is a default for it is left to DSPy."""
    with pytest.raises(UnreadableError):
        read_chat(said(a="1"), {"a": str, "b": str})


def _value(function: Any, *arguments: Any) -> tuple[str, type] | None:
    """What it makes of them, or None for an error."""
    try:
        made = function(*arguments)
    except Exception:  # noqa: BLE001 - DSPy words the error
        return None
    return repr(made), type(made)


VALUES = [*(1, 0, 1.5, True, None), *([], [1, "2"], {"x": 1}, {"x": "1", "y": 2}, ["a"], {"content": "c"})]


@pytest.mark.parametrize("value", VALUES, ids=str)
@pytest.mark.parametrize("annotation", TYPES, ids=str)
def test_a_value_of_json_becomes_the_value_that_dspy_makes_of_it(annotation: Any, value: Any) -> None:
    """In value and type; what DSPy refuses is refused."""
    assert _value(parser_of(annotation), value) == _value(parse_value, value, annotation)


@pytest.mark.parametrize(
    "text", [*TEXTS, '{"content": "c"}', '{"tool_calls": []}', '{"name": "f", "args": {}}']
)
@pytest.mark.parametrize("annotation", [dspy.Reasoning, dspy.ToolCalls])
def test_dspys_own_types_read_texts_themselves(annotation: Any, text: str) -> None:
    """When they are no JSON of that kind."""
    assert _value(parser_of(annotation), text) == _value(parse_value, text, annotation)


@pytest.mark.parametrize(
    "answer", ['{"b": "2", "a": "1", "c": "3"}', "{a: 1, 'b': 2,}", '```json\n{"a": 1, "b": 2}\n```']
)
def test_an_object_is_read_as_dspy_reads_it(answer: str) -> None:
    """In the order of the signature, without what was not asked for."""
    read = read_json(answer, {"a": str, "b": str})
    assert list(read.items()) == list(dspy.JSONAdapter().parse(dspy.Signature("q -> a, b"), answer).items())


@pytest.mark.parametrize("answer", ['{"a": "1"}', "[1]", "", "words"])
def test_what_is_no_such_object_is_not_readable_here(answer: str) -> None:
    """DSPy says what it makes of it."""
    with pytest.raises(UnreadableError):
        read_json(answer, {"a": str, "b": str})
