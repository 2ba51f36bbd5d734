"""Rules of the adaptive limit, one by one: what lowers it, what raises it, who waits and who is woken."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from agent_service.core.adaptive_limit import AdaptiveLimit, LimitOptions, LimitPermit
from agent_service.testing import FakeClock


@pytest.fixture
def limit(clock: FakeClock) -> AdaptiveLimit:
    """Ten at most, two at least."""
    return AdaptiveLimit(LimitOptions(maximum=10, minimum=2, slow_seconds=20.0), clock=clock)


def taken(limit: AdaptiveLimit, count: int) -> list[LimitPermit]:
    """So many permits, there and then."""
    permits = [limit.try_acquire() for _ in range(count)]
    assert None not in permits
    return [permit for permit in permits if permit is not None]


async def waiting(limit: AdaptiveLimit) -> asyncio.Task[LimitPermit]:
    """Somebody who asks, run up to their wait."""
    task = asyncio.create_task(limit.acquire())
    await asyncio.sleep(0)
    return task


async def some_turns() -> None:
    """More turns of the loop than a wake-up needs."""
    for _ in range(4):
        await asyncio.sleep(0)


def test_without_complaint_it_is_at_its_maximum(limit: AdaptiveLimit) -> None:
    """As many calls as the maximum go at once, one more does not, and successes do not raise it."""
    permits = taken(limit, 10)
    assert limit.try_acquire() is None
    assert (limit.limit, limit.in_flight) == (10, 10)
    for permit in permits:
        permit.success(1.0)
    assert (limit.limit, limit.in_flight) == (10, 0)


def test_an_overload_multiplies_it_down_to_the_minimum(limit: AdaptiveLimit) -> None:
    """Each round that meets an overload leaves the whole part of seven tenths, at least the minimum."""
    limits = []
    for _ in range(6):
        taken(limit, 1)[0].overloaded(None)
        limits.append(limit.limit)
    assert limits == [7, 4, 2, 2, 2, 2]


def test_a_round_decreases_once(limit: AdaptiveLimit) -> None:
    """Ten calls that were sent together and all refused say the same thing; the next round says it anew."""
    for permit in taken(limit, 10):
        permit.overloaded(None)
    assert limit.limit == 7
    taken(limit, 1)[0].overloaded(None)
    assert limit.limit == 4


def test_successes_from_before_a_decrease_do_not_undo_it(limit: AdaptiveLimit) -> None:
    """Calls that were sent before the limit was lowered are no sign that more would be borne."""
    permits = taken(limit, 10)
    permits[0].overloaded(None)
    for permit in permits[1:]:
        permit.success(1.0)
    assert limit.limit == 7


def test_successes_raise_it_by_one_while_half_of_it_is_used(limit: AdaptiveLimit) -> None:
    """With fewer in flight, a success says nothing of what the upstream bears."""
    taken(limit, 1)[0].overloaded(None)
    for _ in range(5):
        taken(limit, 1)[0].success(1.0)
    assert limit.limit == 7
    for permit in taken(limit, 4):
        permit.success(1.0)
    assert limit.limit == 8


def test_a_slow_success_is_an_overload(limit: AdaptiveLimit) -> None:
    """Past ``slow_seconds``, not at them."""
    taken(limit, 1)[0].success(20.0)
    assert limit.limit == 10
    taken(limit, 1)[0].success(20.5)
    assert limit.limit == 7


def test_an_ignored_call_moves_nothing(limit: AdaptiveLimit) -> None:
    """A cancelled call frees its place and says nothing."""
    taken(limit, 1)[0].overloaded(None)
    for permit in taken(limit, 7):
        permit.ignore()
    assert (limit.limit, limit.in_flight) == (7, 0)


def test_only_the_first_report_counts(limit: AdaptiveLimit) -> None:
    """A permit that was reported on is spent."""
    permit, _ = taken(limit, 2)
    assert repr(permit) == "<LimitPermit of generation 0, in use>"
    permit.ignore()
    permit.ignore()
    permit.success(1.0)
    permit.overloaded(5.0)
    assert repr(permit) == "<LimitPermit of generation 0, reported>"
    assert (limit.limit, limit.in_flight, limit.pause_remaining_seconds) == (10, 1, 0.0)


async def test_callers_wait_in_line(clock: FakeClock) -> None:
    """First come, first served, each as a permit comes back."""
    limit = AdaptiveLimit(LimitOptions(maximum=1), clock=clock)
    permit = await limit.acquire()
    first, second = await waiting(limit), await waiting(limit)
    assert (limit.waiting, limit.in_flight) == (2, 1)
    permit.success(1.0)
    permit = await first
    assert not second.done()
    permit.success(1.0)
    await second


async def test_nobody_overtakes_the_line(clock: FakeClock) -> None:
    """A permit that is back belongs to who waits, not to a newcomer of the same tick."""
    limit = AdaptiveLimit(LimitOptions(maximum=1), clock=clock)
    permit = await limit.acquire()
    first = await waiting(limit)
    permit.ignore()
    assert limit.try_acquire() is None
    await first


async def test_after_a_decrease_nobody_goes_until_there_is_room(limit: AdaptiveLimit) -> None:
    """With seven allowed and nine out, two must come back before there is a place for one more."""
    permits = taken(limit, 10)
    permits.pop().overloaded(None)
    task = await waiting(limit)
    for _ in range(2):
        permits.pop().ignore()
        await some_turns()
        assert not task.done()
    permits.pop().ignore()
    await task
    assert limit.in_flight == limit.limit == 7


async def test_nothing_is_sent_until_the_retry_after_has_passed(
    limit: AdaptiveLimit, clock: FakeClock
) -> None:
    """The upstream's own word is a floor; who waits is woken when it is over, by the clock alone."""
    taken(limit, 1)[0].overloaded(5.0)
    assert limit.pause_remaining_seconds == 5.0
    assert limit.try_acquire() is None
    task = await waiting(limit)
    clock.advance(4.5)
    await some_turns()
    assert not task.done()
    clock.advance(0.5)
    await task
    assert clock.pending == 0


async def test_who_waits_already_is_woken_after_a_pause_too(clock: FakeClock) -> None:
    """The pause began when they stood in the line, and the permit was back before it was over."""
    limit = AdaptiveLimit(LimitOptions(maximum=1), clock=clock)
    permit = await limit.acquire()
    task = await waiting(limit)
    permit.overloaded(5.0)
    await some_turns()
    assert not task.done()
    clock.advance(5.0)
    await task


class RunningClock(FakeClock):
    """A fake clock that goes on by ``step_seconds`` whenever somebody looks."""

    step_seconds = 0.0

    def monotonic(self) -> float:
        now_seconds = super().monotonic()
        self._monotonic += self.step_seconds
        return now_seconds


@pytest.mark.parametrize("step_seconds", [0.1, 0.3, 0.5, 0.7, 0.9, 1.1])
async def test_a_pause_that_ends_while_one_looks_does_not_leave_the_line_asleep(step_seconds: float) -> None:
    """Between a look whether it is over and one how long it lasts it can end; somebody wakes them still."""
    clock = RunningClock()
    limit = AdaptiveLimit(LimitOptions(), clock=clock)
    taken(limit, 1)[0].overloaded(1.0)
    clock.step_seconds = step_seconds
    waiter = await waiting(limit)
    clock.step_seconds = 0.0
    clock.advance(2.0)
    await some_turns()
    assert waiter.done()
    waiter.result().ignore()


def test_the_longest_pause_wins_and_an_old_call_may_ask_for_it(
    limit: AdaptiveLimit, clock: FakeClock
) -> None:
    """A shorter Retry-After does not shorten one, and one of an earlier round is heeded."""
    first, second, third = taken(limit, 3)
    first.overloaded(5.0)
    second.overloaded(2.0)
    assert limit.pause_remaining_seconds == 5.0
    clock.advance(1.0)
    third.overloaded(9.0)
    assert limit.pause_remaining_seconds == 9.0
    assert limit.limit == 7


@pytest.mark.parametrize(
    ("retry_after_seconds", "pause_seconds"),
    [(60.0, 60.0), (86_400.0, 60.0), (float("inf"), 60.0), (float("nan"), 0.0), (-5.0, 0.0), (None, 0.0)],
)
def test_a_pause_is_a_minute_at_most(
    limit: AdaptiveLimit, retry_after_seconds: float | None, pause_seconds: float
) -> None:
    """An upstream that asks for a day, or for nonsense, does not silence the service."""
    taken(limit, 1)[0].overloaded(retry_after_seconds)
    assert limit.pause_remaining_seconds == pause_seconds


async def test_who_is_cancelled_in_line_leaves_it(clock: FakeClock) -> None:
    """The next one gets the permit, whether the cancellation comes before or after the permit is back."""
    limit = AdaptiveLimit(LimitOptions(maximum=1), clock=clock)
    for cancelled_first in (True, False):
        permit = await limit.acquire()
        leaving, staying = await waiting(limit), await waiting(limit)
        if cancelled_first:
            leaving.cancel()
        permit.ignore()
        leaving.cancel()
        (await staying).ignore()
        assert leaving.cancelled()
        assert (limit.in_flight, limit.waiting) == (0, 0)


async def test_who_leaves_is_not_waited_for(limit: AdaptiveLimit, clock: FakeClock) -> None:
    """A place in the line is given up at once, not when its turn would have come."""
    taken(limit, 1)[0].overloaded(5.0)
    tasks = [await waiting(limit) for _ in range(3)]
    assert (limit.waiting, clock.pending) == (3, 1)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert limit.waiting == 0
    clock.advance(5.0)
    assert (limit.in_flight, clock.pending) == (0, 0)


async def test_who_is_cancelled_with_the_permit_assigned_gives_it_back(clock: FakeClock) -> None:
    """The assignment and the cancellation meet in one tick: the permit is not lost."""
    limit = AdaptiveLimit(LimitOptions(maximum=1), clock=clock)
    permit = await limit.acquire()
    leaving = await waiting(limit)
    permit.ignore()
    asyncio.get_running_loop().call_soon(leaving.cancel)
    await some_turns()
    assert leaving.cancelled()
    assert limit.in_flight == 0


async def test_reports_from_another_thread_wake_who_waits(clock: FakeClock) -> None:
    """A call that was made elsewhere frees its place here."""
    limit = AdaptiveLimit(LimitOptions(maximum=1), clock=clock)
    permit = await limit.acquire()
    task = await waiting(limit)
    await asyncio.to_thread(permit.overloaded, 3.0)
    await some_turns()
    assert not task.done()
    clock.advance(3.0)
    await task


def test_permits_from_many_threads_are_not_lost(clock: FakeClock) -> None:
    """Taking and reporting is counted right whoever does it."""
    limit = AdaptiveLimit(LimitOptions(maximum=4), clock=clock)

    def call(_: int) -> None:
        permit = limit.try_acquire()
        assert limit.in_flight <= 4
        if permit is not None:
            permit.success(0.1)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(call, range(2000)))
    assert limit.in_flight == 0


async def test_repr_tells_the_state(limit: AdaptiveLimit) -> None:
    """Logs and failing tests show what is allowed and who waits."""
    permits = taken(limit, 10)
    task = await waiting(limit)
    assert repr(limit) == "<AdaptiveLimit 10/10 in flight, 1 waiting>"
    permits[0].overloaded(5.0)
    assert repr(limit) == "<AdaptiveLimit 9/7 in flight, 1 waiting, paused for 5 s>"
    task.cancel()
    await asyncio.wait({task})


@pytest.mark.parametrize("factor", [0.0, 1.0, float("nan")])
def test_a_factor_that_does_not_decrease_is_refused(factor: float) -> None:
    """A limit that cannot fall is none."""
    with pytest.raises(ValueError, match="decrease_factor"):
        LimitOptions(decrease_factor=factor)


@pytest.mark.parametrize("wrong", [{"minimum": 0}, {"minimum": 300}, {"slow_seconds": 0.0}])
def test_options_that_make_no_sense_are_refused_by_name(wrong: dict[str, float]) -> None:
    """A wrong bound is a mistake of the start, not of the first overload."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LimitOptions(**wrong)  # type: ignore[arg-type] # wrong on purpose
