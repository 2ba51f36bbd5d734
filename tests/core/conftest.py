"""What the tests of the core share: a clock that stands still."""

from __future__ import annotations

import pytest

from agent_service.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """A clock that the test moves."""
    return FakeClock()
