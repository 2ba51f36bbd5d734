"""What a program gave, as JSON values."""

from __future__ import annotations

import json
from collections import UserDict
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from agent_service.programs.typed.json_values import as_json_value


class Level(IntEnum):
    """A number with a name."""

    LOW = 1


class Word(str, Enum):
    """A text with a name."""

    YES = "yes"


class Reading(BaseModel):
    """A model with a number that is none."""

    value: float
    text: str


@dataclass
class Place:
    """A data class."""

    city: str


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        ([float("inf"), -float("inf"), 1.5], [None, None, 1.5]),
        (Reading(value=float("nan"), text="x"), {"value": None, "text": "x"}),
        (Reading.model_construct(value=1.0, text="\ud83d"), {"value": 1.0, "text": "?"}),
        ("\ud83d", "?"),
        ({"\udc00": 1, 2: 3, Level.LOW: 4}, {"?": 1, "2": 3, "1": 4}),
        (10**30, 10**30),
        (Level.LOW, 1),
        (Word.YES, "yes"),
        ((1, 2), [1, 2]),
        ({3}, [3]),
        (UserDict(a=1), {"a": 1}),
        (Place("Rome"), {"city": "Rome"}),
        (datetime(2026, 1, 31, tzinfo=timezone.utc), "2026-01-31T00:00:00Z"),
        (Decimal("1.50"), "1.50"),
        (UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        (b"text", "text"),
        (dspy.Image(url="https://example.org/a.png"), "https://example.org/a.png"),
        (dspy.Audio(data="AAAA", audio_format="wav"), "data:audio/wav;base64,AAAA"),
        (dspy.File(file_data="data:text/plain;base64,aGk="), "data:text/plain;base64,aGk="),
        (dspy.Code(code="x = 1"), "x = 1"),
        (dspy.Reasoning(content="because"), "because"),
        ([dspy.History(messages=[{"a": 1}])], [{"messages": [{"a": 1}]}]),
    ],
)
def test_values(value: Any, expected: Any) -> None:
    """Each has one form, and that can be written."""
    assert as_json_value(value) == expected
    json.dumps(as_json_value(value), allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize("value", [object(), lambda: 1, b"\xff"])
def test_what_has_no_form_is_told(value: Any) -> None:
    """By its type, never by its text."""
    with pytest.raises(TypeError, match="has no form as JSON"):
        as_json_value(value)


def test_what_never_ends_is_told() -> None:
    """A list that holds itself."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(TypeError, match="too deep"):
        as_json_value(endless)


ANYTHING = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(ANYTHING)
def test_whatever_is_given_can_be_sent(value: Any) -> None:
    """Also halves of surrogate pairs and numbers that are none."""
    json.dumps(as_json_value(value), allow_nan=False, ensure_ascii=False).encode()
