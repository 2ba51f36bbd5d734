"""A few callers for each turn of the loop, in order, and nobody is forgotten."""

from __future__ import annotations

import asyncio

from agent_service.api.turnstile import AT_ONCE, Turnstile


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_who_comes_alone_does_not_wait() -> None:
    """An idle service loses nothing by it."""
    turnstile = Turnstile()
    entering = asyncio.create_task(turnstile.enter())

    await _turns(1)

    assert entering.done()


async def test_others_get_their_turn_while_many_wait() -> None:
    """After a few the loop turns, so that what does not pass here waits for those at most."""
    turnstile = Turnstile()
    entered: list[int] = []

    async def enter(number: int) -> None:
        await turnstile.enter()
        entered.append(number)

    callers = [asyncio.create_task(enter(number)) for number in range(50)]
    most_in_a_turn = 0
    while len(entered) < len(callers):
        before = len(entered)
        await _turns(1)
        most_in_a_turn = max(most_in_a_turn, len(entered) - before)

    assert entered == list(range(50))
    assert most_in_a_turn == AT_ONCE


async def test_who_gives_up_holds_nobody_up() -> None:
    """The place of a cancelled caller goes to the next."""
    turnstile = Turnstile()
    callers = [asyncio.create_task(turnstile.enter()) for _ in range(AT_ONCE + 3)]
    await _turns(1)
    callers[-3].cancel()
    callers[-2].cancel()

    await asyncio.wait_for(callers[-1], timeout=5)

    assert repr(turnstile) == "<Turnstile 0 waiting>"


async def test_it_turns_again_after_a_rest() -> None:
    """When all are through, the next flood is ordered like the first."""
    turnstile = Turnstile()
    for _ in range(3):
        await asyncio.gather(*(turnstile.enter() for _ in range(3 * AT_ONCE)))
        await _turns(3)
    assert repr(turnstile) == "<Turnstile 0 waiting>"

    entering = asyncio.create_task(turnstile.enter())
    await _turns(1)

    assert entering.done()
