"""How the store is, without waiting for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agent_service.memory.base import unavailable
from agent_service.runtime.memory_check import PATIENCE_SECONDS, MemoryCheck

if TYPE_CHECKING:
    from tests.runtime.conftest import Service


class Scene:
    """A check of a store that answers when, and what, a test says."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.check = MemoryCheck(store=service.store, clock=service.clock)
        self.answers = asyncio.Event()
        service.store.before_ping = self._answer

    async def _answer(self, user: str) -> None:
        await self.answers.wait()

    async def asked(self) -> str:
        """What the check says when its patience has passed."""
        asking = asyncio.ensure_future(self.check())
        await self.service.settle()
        self.service.clock.advance(PATIENCE_SECONDS)
        await self.service.settle()
        assert asking.done()
        return await asking


@pytest.fixture
def scene(service: Service) -> Scene:
    """A store that does not answer yet."""
    return Scene(service)


async def test_an_answer_that_comes_at_once_is_the_one_that_is_given(scene: Scene) -> None:
    """A store that is well, or that says why not, is told of as it is now."""
    scene.answers.set()
    assert await scene.check() == "ok"

    async def gone(user: str) -> None:
        raise unavailable("The store is gone.")

    scene.service.store.before_ping = gone
    assert await scene.check() == "failed: The store is gone."
    assert repr(scene.check) == "<MemoryCheck failed: The store is gone.>"
    await scene.service.assert_at_rest()


async def test_until_a_late_answer_comes_the_one_before_it_stands(scene: Scene) -> None:
    """A slow moment is no failure; what came of it is known to the next who asks."""
    assert await scene.asked() == "ok"
    scene.service.clock.advance(1.0)
    await scene.service.settle()
    assert await scene.asked() == "failed: no answer within 1 s"
    scene.answers.set()
    await scene.service.settle()
    assert await scene.check() == "ok"
    await scene.service.assert_at_rest()


async def test_one_ping_at_a_time_is_on_its_way(scene: Scene) -> None:
    """Who asks often does not pile work on a store that is slow."""
    for _ in range(5):
        await scene.asked()
    assert scene.service.journal.count("ping") == 1
    scene.answers.set()
    await scene.service.assert_at_rest()


async def test_who_leaves_while_asking_does_not_end_the_asking(scene: Scene) -> None:
    """Another one may wait for the same answer."""
    leaving, staying = asyncio.ensure_future(scene.check()), asyncio.ensure_future(scene.check())
    await scene.service.settle()
    leaving.cancel()
    await scene.service.settle()
    scene.answers.set()
    assert await staying == "ok"
    assert scene.service.journal.count("ping") == 1
    await scene.service.assert_at_rest()
