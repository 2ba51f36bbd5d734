"""Values in a prompt are written as DSPy writes them."""

from __future__ import annotations

import datetime as dt
import enum
from collections import OrderedDict
from decimal import Decimal
from typing import Any

import dspy
import pytest
from dspy.adapters.utils import format_field_value
from pydantic import BaseModel

from agent_service.programs.fast.plans.values import formatted, is_constant


class Colour(enum.Enum):
    RED = "r"


class Point(BaseModel):
    x: int
    name: str = "ä"


class Shout(str):
    __slots__ = ()


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)
VALUES = [
    *(
        "",
        " text \n",
        "ünïcode ✓",
        "a\ud800b",
        Shout("a"),
        b"bytes",
        None,
        object,
        CIRCLE,
        {"circle": CIRCLE},
    ),
    *(0, -1, 10**30, True, 1.5, 1e22, -0.0, float("nan"), float("inf"), Decimal("1.10"), range(3), {"one"}),
    *([], ["a"], ["a", "«b»", "c\nd"], [Point(x=1), 2], (), (1, "ä"), {}, {"ä": [1, None]}, {1: "a"}),
    *({"p": Point(x=1)}, OrderedDict(a=1), dt.date(2020, 1, 1), Colour.RED, Point(x=2)),
    *(
        {"e": Colour.RED, "f": float("nan")},
        {"a": 'say "b"\\\n\x00\x7f', "b": ""},
        {"a": "a\ud800b"},
        {"a": Shout("b")},
    ),
]


@pytest.mark.parametrize("annotation", [str, Any, list[str]])
@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_has_the_text_that_dspy_gives_it(value: Any, annotation: Any) -> None:
    """Byte for byte, for values of every kind in fields of every kind; else the errors are the same."""
    field = dspy.Signature({"value": (annotation, dspy.InputField()), "out": (str, dspy.OutputField())})
    info = field.input_fields["value"]
    assert _or_error(formatted, info, value) == _or_error(format_field_value, info, value)


@pytest.mark.parametrize(
    ("value", "constant"),
    [
        ("a", True),
        (1, True),
        (None, True),
        ({"a": 1}, True),
        ({"a": []}, False),
        ([], False),
        (Shout("a"), False),
    ],
)
def test_a_text_is_kept_only_of_what_cannot_change(value: Any, constant: bool) -> None:
    """Whatever may change in place is written anew each time."""
    assert is_constant(value) is constant


def _or_error(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is compared
        return type(error), str(error)
