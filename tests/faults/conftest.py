"""What the fault rows share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.row import Row
from tests.processes import Service, Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """One simulator for all rows of a module."""
    running = Simulator(tmp_path_factory.mktemp("upstream"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def guarded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, upstream: Simulator
) -> Iterator[Service]:
    """One service for all rows of a module, with the module's SETTINGS, asking that simulator."""
    settings = upstream.settings(**request.module.SETTINGS)
    running = Service(tmp_path_factory.mktemp("guarded"), **settings)
    for _ in range(3):
        assert running.ask("What is 2+2?", user_id="warm-up").status_code == 200
    yield running
    running.close()


@pytest.fixture
def row(guarded: Service, upstream: Simulator) -> Row:
    """That service at rest, and what it counted so far."""
    upstream.heal()
    return Row(guarded, upstream)
