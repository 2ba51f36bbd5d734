from __future__ import annotations

import pytest

from agent_service.server.workers.roster import End, Roster, RosterOptions
from agent_service.testing import FakeClock

OPTIONS = RosterOptions(2)
STEADY_SECONDS = OPTIONS.steady_seconds


class Hall:
    """A roster whose workers start and serve as it says."""

    def __init__(self, size: int = 2) -> None:
        self.clock = FakeClock()
        self.roster = Roster(RosterOptions(size), clock=self.clock)
        self._number = 0

    def start(self, slot: int) -> int:
        """A worker begins to start."""
        self._number += 1
        self.roster.start(self._number, slot)
        return self._number

    def staff(self) -> list[int]:
        """Start and serve until the roster is content; the numbers of the new workers."""
        new = []
        while slots := self.roster.slots_to_start():
            started = [self.start(slot) for slot in slots]
            for number in started:
                self.roster.serve(number)
            new += started
        return new

    def steady(self) -> tuple[int, int]:
        """Two workers that have served for long."""
        one, other = self.staff()
        self.clock.advance(STEADY_SECONDS)
        return one, other


@pytest.fixture
def hall() -> Hall:
    return Hall()


def test_the_first_worker_starts_alone(hall: Hall) -> None:
    """What is wrong with settings or program is then met once; the others follow when it serves."""
    assert hall.roster.slots_to_start() == [0]
    first = hall.start(0)
    assert hall.roster.slots_to_start() == []
    hall.roster.serve(first)
    assert hall.roster.slots_to_start() == [1]
    hall.start(1)
    assert hall.roster.slots_to_start() == []


@pytest.mark.parametrize("status", [0, 1, -9])
def test_a_first_worker_that_does_not_serve_is_the_end(hall: Hall, status: int) -> None:
    """However it ended: there is nothing to fall back on."""
    assert hall.roster.end(hall.start(0), status) is End.FAILED_START
    assert hall.roster.gives_up
    assert hall.roster.is_over
    assert hall.roster.slots_to_start() == []


def test_a_worker_that_served_for_long_is_replaced_at_once(hall: Hall) -> None:
    """One crash says nothing about the next worker."""
    one, _ = hall.steady()
    assert hall.roster.end(one, -9) is End.CRASH
    assert hall.roster.slots_to_start() == [0]


def test_early_ends_are_waited_out_longer_and_longer(hall: Hall) -> None:
    """Half a second, one, two, up to a limit; the other slot is not concerned."""
    hall.steady()
    hall.roster.end(1, -9)
    waits = []
    for _ in range(9):
        worker = hall.start(0)
        hall.roster.serve(worker)
        assert hall.roster.end(worker, 1) is End.CRASH
        assert hall.roster.slots_to_start() == []
        wait_seconds = hall.roster.seconds_to_next()
        assert wait_seconds is not None
        waits.append(wait_seconds)
        hall.clock.advance(wait_seconds)
        assert hall.roster.slots_to_start() == [0]
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert hall.roster.seconds_to_next() is None


def test_a_replacement_that_cannot_start_is_an_early_end(hall: Hall) -> None:
    """The wait is the same as after a crash, and so is the count."""
    hall.steady()
    hall.roster.end(1, -9)
    assert hall.roster.end(hall.start(0), 1) is End.FAILED_START
    assert hall.roster.seconds_to_next() == 0.5


def test_a_long_life_ends_the_count(hall: Hall) -> None:
    """Early ends of last week do not make today's wait longer."""
    hall.steady()
    hall.roster.end(1, -9)
    hall.roster.end(hall.start(0), 1)
    hall.clock.advance(1.0)
    worker = hall.start(0)
    hall.roster.serve(worker)
    hall.clock.advance(STEADY_SECONDS)
    hall.roster.end(worker, -9)
    assert hall.roster.slots_to_start() == [0]


def _end_early(hall: Hall, times: int, slots: tuple[int, ...]) -> None:
    for _ in range(times):
        workers = [hall.start(slot) for slot in slots]
        for worker in workers:
            hall.roster.serve(worker)
        for worker in workers:
            hall.roster.end(worker, 1)
        hall.clock.advance(OPTIONS.back_off_limit_seconds)


def test_it_gives_up_when_no_slot_can_be_kept(hall: Hall) -> None:
    """Whoever runs the service then sees that it failed, instead of a service that never answers."""
    hall.steady()
    for worker in (1, 2):
        hall.roster.end(worker, -9)
    _end_early(hall, OPTIONS.early_ends - 1, (0, 1))
    assert not hall.roster.gives_up
    _end_early(hall, 1, (0, 1))
    assert hall.roster.gives_up


def test_one_sound_worker_is_reason_enough_to_go_on(hall: Hall) -> None:
    """Also when its slot had early ends before."""
    hall.steady()
    for worker in (1, 2):
        hall.roster.end(worker, -9)
    _end_early(hall, OPTIONS.early_ends - 1, (0, 1))
    hall.roster.serve(hall.start(0))
    hall.clock.advance(STEADY_SECONDS)
    _end_early(hall, OPTIONS.early_ends + 1, (1,))
    assert not hall.roster.gives_up


def test_who_leaves_is_replaced_at_once_and_no_crash(hall: Hall) -> None:
    """A worker that somebody told to end still serves its clients while the next one starts."""
    one, _ = hall.steady()
    hall.roster.leave(one)
    assert hall.roster.slots_to_start() == [0]
    hall.staff()
    assert hall.roster.end(one, 0) is End.EXPECTED


def test_a_renewal_goes_one_after_the_other(hall: Hall) -> None:
    """A successor serves before an old worker is dismissed, which has left before the next begins."""
    old = hall.steady()
    hall.roster.renew()
    for slot, number in enumerate(old):
        assert hall.roster.slots_to_start() == [slot]
        successor = hall.start(slot)
        assert (hall.roster.slots_to_start(), hall.roster.workers_to_dismiss()) == ([], [])
        hall.roster.serve(successor)
        assert (hall.roster.slots_to_start(), hall.roster.workers_to_dismiss()) == ([], [number])
        hall.roster.leave(number)
        assert (hall.roster.slots_to_start(), hall.roster.workers_to_dismiss()) == ([], [])
        assert hall.roster.end(number, 0) is End.EXPECTED
    assert hall.roster.slots_to_start() == []
    assert not hall.roster.is_renewing


def test_a_successor_that_does_not_start_ends_the_renewal(hall: Hall) -> None:
    """The old workers stay, without a further try until the next order."""
    hall.steady()
    hall.roster.renew()
    assert hall.roster.end(hall.start(0), 1) is End.FAILED_RENEWAL
    assert (hall.roster.slots_to_start(), hall.roster.workers_to_dismiss()) == ([], [])
    assert hall.roster.seconds_to_next() is None
    hall.roster.renew()
    assert hall.roster.slots_to_start() == [0]


def test_an_old_worker_that_crashes_in_a_renewal_has_its_successor(hall: Hall) -> None:
    """The renewal goes on with the others."""
    one, other = hall.steady()
    hall.roster.renew()
    successor = hall.start(0)
    assert hall.roster.end(one, -9) is End.CRASH
    assert hall.roster.slots_to_start() == []
    hall.roster.serve(successor)
    assert hall.roster.workers_to_dismiss() == []
    assert hall.roster.slots_to_start() == [1]
    hall.roster.serve(hall.start(1))
    assert hall.roster.workers_to_dismiss() == [other]


def test_a_renewal_of_one_worker_starts_the_second_first() -> None:
    """One is enough: the port is never without a worker."""
    hall = Hall(size=1)
    (only,) = hall.staff()
    hall.roster.renew()
    assert hall.roster.slots_to_start() == [0]
    hall.roster.serve(hall.start(0))
    assert hall.roster.workers_to_dismiss() == [only]


def test_a_renewal_before_the_first_serves_means_nothing(hall: Hall) -> None:
    """It starts with the newest that there is anyway."""
    first = hall.start(0)
    hall.roster.renew()
    hall.roster.serve(first)
    assert not hall.roster.is_renewing


def test_a_stop_starts_nobody_and_is_over_when_all_have_ended(hall: Hall) -> None:
    """Whatever they end with: they were told to. Who is just starting may not hear it otherwise."""
    one, other = hall.steady()
    hall.roster.renew()
    starting = hall.start(0)
    assert hall.roster.stop() == [starting]
    assert hall.roster.slots_to_start() == []
    for number in (one, other, starting):
        assert not hall.roster.is_over
        assert hall.roster.end(number, -9) is End.EXPECTED
    assert hall.roster.is_over
    assert not hall.roster.gives_up


def test_there_is_at_least_one_worker() -> None:
    """A service of none would wait for ever."""
    with pytest.raises(ValueError, match="at least 1"):
        RosterOptions(0)
