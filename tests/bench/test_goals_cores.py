"""Who runs where: apart while there are cores, together when there are not."""

from __future__ import annotations

import os

import pytest

from bench.goals.stage.cores import Cores, pinned


def test_on_four_cores_everybody_has_one_alone() -> None:
    """What is measured shares its core with nothing of ours."""
    cores = Cores(all=(4, 5, 6, 7))
    taken = [*cores.served(), *cores.lm, *cores.load, *cores.redis]
    assert sorted(taken) == [4, 5, 6, 7]


def test_two_workers_have_two_cores_apart_from_the_stub_and_the_load() -> None:
    """Or they would be compared with one that has more."""
    cores = Cores(all=(0, 1, 2, 3))
    assert not {*cores.served(2)} & {*cores.lm, *cores.load}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_on_fewer_cores_there_is_a_place_for_everybody(count: int) -> None:
    """It measures badly, but it runs."""
    cores = Cores(all=tuple(range(count)))
    for taken in (cores.served(), cores.served(2), cores.lm, cores.load, cores.redis):
        assert taken
        assert set(taken) <= set(cores.all)


def test_pinning_ends_with_its_context() -> None:
    """What starts later may run anywhere again."""
    before = os.sched_getaffinity(0)
    with pinned((min(before),)):
        assert os.sched_getaffinity(0) == {min(before)}
    assert os.sched_getaffinity(0) == before
