"""A simulator on a free port of the loopback, on the test's own event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from agent_service.simulator.server import create_simulator, serve
from agent_service.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def clock() -> FakeClock:
    """The simulator's time in ``still``."""
    return FakeClock()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a simulator that runs on the system's clock."""
    async with (
        serve(create_simulator()) as base_url,
        httpx.AsyncClient(base_url=base_url.removesuffix("/v1"), trust_env=False) as connected,
    ):
        yield connected


@pytest.fixture
async def still(clock: FakeClock) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a simulator whose time stands still until ``clock`` is moved."""
    async with (
        serve(create_simulator(clock=clock)) as base_url,
        httpx.AsyncClient(base_url=base_url.removesuffix("/v1"), trust_env=False) as connected,
    ):
        yield connected
