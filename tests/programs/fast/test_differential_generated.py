"""The fast path against DSPy's own modules, on programs that nobody thought of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_service.programs.fast import accelerate
from tests.programs.fast.differential_case import BOTH, Case, differences
from tests.programs.fast.differential_strategies import episodes, predictions, second_episodes
from tests.programs.fast.differential_world import Rooms

if TYPE_CHECKING:
    from collections.abc import Iterator

MADE_UP = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


@pytest.fixture(scope="module")
def rooms() -> Iterator[Rooms]:
    """Threads for all examples."""
    opened = Rooms()
    yield opened
    opened.close()


@settings(MADE_UP, max_examples=100)
@given(case=predictions(), mode=st.sampled_from(BOTH))
async def test_made_up_predictors(case: Case, mode: str, rooms: Rooms) -> None:
    """Whatever the fields, the inputs, the demos and the answer are: no difference."""
    assert await differences(case, twin=accelerate, mode=mode, rooms=rooms) == {}


@settings(MADE_UP, max_examples=40)
@given(case=episodes(), mode=st.sampled_from(BOTH))
async def test_made_up_episodes(case: Case, mode: str, rooms: Rooms) -> None:
    """Whatever an agent's model says: no difference."""
    assert await differences(case, twin=accelerate, mode=mode, rooms=rooms) == {}


@settings(MADE_UP, max_examples=60)
@given(case=second_episodes(), mode=st.sampled_from(BOTH))
async def test_made_up_episodes_of_the_second_kind(case: Case, mode: str, rooms: Rooms) -> None:
    """Whatever the model calls, in whatever way, and whatever was said before: no difference."""
    assert await differences(case, twin=accelerate, mode=mode, rooms=rooms) == {}
