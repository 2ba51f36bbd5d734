from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_service.programs.builtin_tools import calculator, convert_units, current_time
from agent_service.programs.offline import requests as offline_requests
from agent_service.programs.offline.requests import ToolRequest, tool_requests


@pytest.mark.parametrize(
    ("question", "expression"),
    [
        ("What is 2+2?", "2+2"),
        ("12 * (3 + 4)", "12 * (3 + 4)"),
        ("what's 15% of 80?", "15 / 100 * 80"),
        ("2 to the power of 8", "2 ** 8"),
        ("2^8=?", "2**8"),
        ("What is the square root of 16?", "sqrt(16)"),
        ("sqrt(16) + 1", "sqrt(16) + 1"),
        ("what is two plus two", "2 + 2"),
        ("3 x 4", "3 * 4"),
        ("1,000 + 2", "1000 + 2"),
        ("what is 7 times (8 minus 3)?", "7 * (8 - 3)"),
        ("how much is 5 squared?", "5 ** 2"),
        ("6 \N{DIVISION SIGN} 2", "6 / 2"),
    ],
)
def test_arithmetic_goes_to_the_calculator(question: str, expression: str) -> None:
    """Arithmetic, in signs or in words, becomes one expression for the calculator."""
    assert tool_requests(question) == (ToolRequest("calculator", {"expression": expression}),)
    assert calculator(expression)


@pytest.mark.parametrize(
    ("question", "timezone"),
    [
        ("What time is it?", "UTC"),
        ("what day is today", "UTC"),
        ("What's the date?", "UTC"),
        ("what time is it in Tokyo?", "Asia/Tokyo"),
        ("tell me the time in Europe/Paris", "Europe/Paris"),
    ],
)
def test_the_time_goes_to_the_clock(question: str, timezone: str) -> None:
    """Questions for the time or the date ask the clock, in the zone that is named or else in UTC."""
    assert tool_requests(question) == (ToolRequest("current_time", {"timezone": timezone}),)


@pytest.mark.parametrize(
    ("question", "value", "from_unit", "to_unit"),
    [
        ("convert 5 miles to km", 5, "mile", "km"),
        ("how many grams in 2 pounds", 2, "pound", "gram"),
        ("100 F in C", 100, "fahrenheit", "celsius"),
        ("what is 37.5 degrees celsius in fahrenheit?", 37.5, "celsius", "fahrenheit"),
        ("how many feet are there in a mile?", 1, "mile", "foot"),
        ("how many km are 5 miles", 5, "mile", "km"),
    ],
)
def test_units_go_to_the_converter(question: str, value: float, from_unit: str, to_unit: str) -> None:
    """Conversions name the value and both units by their canonical names, and are no arithmetic."""
    arguments = {"value": value, "from_unit": from_unit, "to_unit": to_unit}
    assert tool_requests(question) == (ToolRequest("convert_units", arguments),)


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of France?",
        "I have a 2-3 day trip",
        "what should I pack if my trip is 2-3 days",
        "what is the best time to visit Rome",
        "What happened on 2024-12-25?",
        "Hello",
        "",
        "(" * 900,
    ],
)
def test_other_questions_want_no_tool(question: str) -> None:
    """Numbers, dates and the word time alone are no reason to call a tool."""
    assert tool_requests(question) == ()


def test_two_wishes_are_two_requests() -> None:
    """A question that wants two tools gets both, each once."""
    requests = tool_requests("What is 2+2 and what time is it in London?")
    assert [request.tool for request in requests] == ["calculator", "current_time"]


@given(st.text(alphabet="0123456789+-*/%().,^ xefpimsqrtah\n", max_size=300))
def test_any_text_is_read_without_an_error(question: str) -> None:
    """No text, however much it looks like arithmetic, makes the reading fail."""
    assert len(tool_requests(question)) <= 3


@pytest.mark.parametrize("unit", sorted(set(offline_requests.UNIT_OF_WORD.values())))
def test_the_builtin_converter_knows_every_unit(unit: str) -> None:
    """Units are named as the built-in converter names them."""
    assert convert_units(1, unit, unit) == f"1 {unit} = 1 {unit}"


@pytest.mark.parametrize("zone", sorted(set(offline_requests.ZONE_OF_PLACE.values())))
def test_the_builtin_clock_knows_every_zone(zone: str) -> None:
    """Places lead to zones that the built-in clock can tell."""
    assert current_time(zone)
