"""Processes that several rooms of tests start."""

from __future__ import annotations

import asyncio
import gc
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

_LONGEST = ("faults/test_openapi_fuzz.py", "fast/test_differential.py", "e2e/test_workers.py")
"""Modules of more than a minute, which begin first: the others fill the time beside them."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the longest modules to the front."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(_LONGEST))


def pytest_collection_finish() -> None:
    """Keep all that was imported out of the collections that some tests ask for."""
    gc.collect()
    gc.freeze()
    asyncio.set_event_loop(None)  # or asyncio makes one for whoever asks, which nobody closes


@pytest.fixture(autouse=True, scope="module")
def _nothing_left_open() -> Iterator[None]:
    """What a module's tests leave open is told there, and not where it happens to be collected."""
    yield
    gc.collect()


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
