from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent_service.programs.streams.tool_arguments import MAX_ARGUMENTS, MAX_VALUE_CHARS, shown

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.builds(object) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def test_small_arguments_are_shown_as_they_are() -> None:
    """A reader sees what the tool was called with."""
    assert shown({"expression": "2+2", "places": 3, "exact": True, "unit": None, "scale": 0.5}) == {
        "expression": "2+2",
        "places": 3,
        "exact": True,
        "unit": None,
        "scale": 0.5,
    }


def test_secrets_are_masked() -> None:
    """By the name of the argument and by the look of its text, nested ones too."""
    told = json.dumps(
        shown(
            {
                "api_key": "hunter2",
                "url": "https://ada:hunter2@example.org/",
                "headers": {"Authorization": "Bearer hunter2hunter2", "x": ["sk-hunter2hunter2"]},
            }
        )
    )
    assert "hunter2" not in told


def test_an_object_is_named_by_its_class_only() -> None:
    """Its ``repr`` may tell anything, or fail."""

    class Account:
        def __repr__(self) -> str:
            raise AssertionError("never asked")

    assert shown({"account": Account()}) == {"account": '"<Account>"'}


def test_a_value_that_holds_itself_is_named_by_its_class() -> None:
    """Programs call tools with objects of their own."""
    endless: list[Any] = []
    endless.append(endless)
    assert shown({"endless": endless}) == {"endless": "<list>"}


@given(st.dictionaries(st.text(), ANYTHING, max_size=30))
def test_what_is_shown_is_short_and_json(arguments: dict[str, Any]) -> None:
    """Whatever a tool is called with: few arguments, short values, and JSON that every reader takes."""
    told = shown(arguments)

    json.dumps(told, allow_nan=False)
    assert len(told) <= MAX_ARGUMENTS
    assert all(len(value) <= MAX_VALUE_CHARS for value in told.values() if isinstance(value, str))
