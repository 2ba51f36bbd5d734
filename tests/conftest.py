"""Processes that several rooms of tests start."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.processes import Service, Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

settings.register_profile("agent_service", deadline=None)  # no test depends on how busy the machine is
settings.load_profile("agent_service")


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts services; they are gone after the test."""
    with ExitStack() as stack:

        def start(**settings: str) -> Service:
            service = Service(tmp_path, **settings)
            stack.callback(service.close)
            return service

        yield start


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    """A simulator without faults."""
    running = Simulator(tmp_path)
    yield running
    running.close()
