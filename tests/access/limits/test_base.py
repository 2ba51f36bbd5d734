"""The contract of counters, for each kind of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agent_service.access.limits.base import CountersUnavailableError
from agent_service.access.limits.rate import parse_rates

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_service.access.limits.base import Counters

TWO_A_SECOND = parse_rates("2/second")
NAME = "0f" * 16


async def test_as_many_as_the_rate_says_are_within(
    new_counters: Callable[[], Awaitable[Counters]],
) -> None:
    """One more is not, and is not counted; another name has its own count."""
    counters = await new_counters()

    taken = [await counters.take(NAME, TWO_A_SECOND) for _ in range(4)]

    assert [each.is_within for each in taken] == [True, True, False, False]
    assert [each.counts[0].used for each in taken] == [1, 2, 2, 2]
    assert (await counters.take("1e" * 16, TWO_A_SECOND)).is_within


async def test_a_place_comes_back_when_its_window_has_passed(
    new_counters: Callable[[], Awaitable[Counters]], pass_time: Callable[[float], None]
) -> None:
    """Not before, and a sixtieth of the window later at most; that long one is told to wait."""
    counters = await new_counters()
    await counters.take(NAME, TWO_A_SECOND)
    pass_time(0.5)
    await counters.take(NAME, TWO_A_SECOND)

    refused = await counters.take(NAME, TWO_A_SECOND)
    assert not refused.is_within
    assert 0.0 < refused.counts[0].wait_seconds <= 0.5 + 1 / 30

    pass_time(0.55)
    taken = [await counters.take(NAME, TWO_A_SECOND) for _ in range(2)]
    assert [each.is_within for each in taken] == [True, False]


async def test_what_one_rate_refuses_no_other_counts(
    new_counters: Callable[[], Awaitable[Counters]],
) -> None:
    """A caller who tries too fast does not use up its hour."""
    counters = await new_counters()
    both = parse_rates("2/second;5/hour")

    for _ in range(4):
        taken = await counters.take(NAME, both)

    assert [count.used for count in taken.counts] == [2, 2]
    assert taken.counts[1].wait_seconds == pytest.approx(3630, abs=31)


async def test_all_who_count_share_one_limit(
    kind: str, new_counters: Callable[[], Awaitable[Counters]]
) -> None:
    """However many ask at once: processes as well as replicas. Memory is one process's."""
    both = [await new_counters()]
    both.append(both[0] if kind == "memory" else await new_counters())
    rates = parse_rates("20/hour")

    taken = await asyncio.gather(*(both[at % 2].take(NAME, rates) for at in range(60)))

    assert sum(each.is_within for each in taken) == 20


async def test_tokens_are_summed_by_day(new_counters: Callable[[], Awaitable[Counters]]) -> None:
    """Each day from nothing; to spend none is to ask."""
    counters = await new_counters()

    assert await counters.spend(NAME, 0, day=19_000) == 0
    assert await counters.spend(NAME, 300, day=19_000) == 300
    assert await counters.spend(NAME, 40, day=19_000) == 340
    assert await counters.spend(NAME, 5, day=19_001) == 5
    assert await counters.spend(NAME, 0, day=19_001) == 5
    assert await counters.spend("1e" * 16, 0, day=19_000) == 0


async def test_closed_counters_say_so(new_counters: Callable[[], Awaitable[Counters]]) -> None:
    """Whoever asks too late is told, and closing again does no harm."""
    counters = await new_counters()
    await counters.close()
    await counters.close()

    with pytest.raises(CountersUnavailableError):
        await counters.take(NAME, TWO_A_SECOND)
    with pytest.raises(CountersUnavailableError):
        await counters.spend(NAME, 1, day=1)
