from __future__ import annotations

import pytest

from agent_service.access.limits.rate import Rate, parse_rates, strictest


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("60/minute", (Rate(60, "minute"),)),
        (" 10 / Second ; 600/hour", (Rate(10, "second"), Rate(600, "hour"))),
        ("1/day", (Rate(1, "day"),)),
    ],
)
def test_a_rate_is_read_as_people_write_it(text: str, rates: tuple[Rate, ...]) -> None:
    """Spaces and capitals do not matter; a semicolon separates windows."""
    assert parse_rates(text) == rates


@pytest.mark.parametrize(
    "text", ["", "60", "60/m", "0/minute", "-1/minute", "1.5/minute", "60/minute;", "1/day;2/day", "१/day"]
)
def test_anything_else_is_refused(text: str) -> None:
    """Never a limit other than the one that was meant; each window only once."""
    with pytest.raises(ValueError, match="must be such as"):
        parse_rates(text)


def test_what_is_counted_leaves_after_its_window_and_at_most_a_sixtieth_later() -> None:
    """So no window holds more than the limit."""
    minute = Rate(60, "minute")
    assert (minute.tick_at(120.0), minute.tick_at(120.99)) == (120, 120)
    assert minute.leaves_at(minute.tick_at(120.99)) == 181.0


def test_of_two_limits_of_one_holder_the_smaller_holds() -> None:
    """For each window, the shortest first."""
    first, second = parse_rates("600/hour;10/second"), parse_rates("20/second;5/minute")
    assert strictest(first, second) == (Rate(10, "second"), Rate(5, "minute"), Rate(600, "hour"))
