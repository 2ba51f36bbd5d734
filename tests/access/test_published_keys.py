"""Published keys are fetched rarely, together, and never lost when a fetch fails."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agent_service.access.published_keys import (
    FETCH_SECONDS,
    PAUSE_SECONDS,
    REFRESH_SECONDS,
    PublishedKeys,
)
from agent_service.access.signing_keys import SigningKeys
from agent_service.access.watched_file import UnreadableError
from agent_service.core.errors import IdentityUnavailableError
from agent_service.core.observer import CredentialsRead
from agent_service.testing import FakeClock, RecordingObserver
from tests.identity_provider import ec_key, jwk_of, key_set

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def _set_of(*names: str) -> bytes:
    return key_set(*(jwk_of(ec_key(), kid=name) for name in names))


class Provider:
    """Publishes the keys of these names; None fails, ``hangs`` never answers."""

    def __init__(self, *names: str) -> None:
        self.names: tuple[str, ...] | None = names
        self.fetches = 0
        self.hangs = False
        self.clock = FakeClock()
        self.observer = RecordingObserver()
        self.keys = PublishedKeys(
            fetch=self.fetch,
            parse=lambda content: SigningKeys.parse(content, ("ES256",)),
            observer=self.observer,
            clock=self.clock,
        )

    async def fetch(self) -> bytes:
        self.fetches += 1
        await asyncio.sleep(0)
        if self.hangs:
            await asyncio.Event().wait()
        if self.names is None:
            raise UnreadableError("was answered with 500")
        return _set_of(*self.names)

    async def knows(self, name: str) -> bool:
        return await self.keys.find(name, "ES256") is not None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.ensure_future(self.keys.run())
        await _settle()
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


async def _settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_keys_are_fetched_once_for_all_who_wait() -> None:
    """A start under load asks the provider once."""
    provider = Provider("a")

    assert await asyncio.gather(*(provider.knows("a") for _ in range(20))) == [True] * 20
    assert provider.fetches == 1


async def test_a_name_that_is_not_known_makes_it_look_again_but_not_often() -> None:
    """A rotated key is found at once; a flood of made-up names is one fetch in ten seconds."""
    provider = Provider("a")
    await provider.knows("a")
    provider.names = ("a", "b")
    assert not await provider.knows("b")
    assert provider.fetches == 1

    provider.clock.advance(PAUSE_SECONDS)

    assert await provider.knows("b")
    assert [await provider.knows(f"made up {number}") for number in range(50)] == [False] * 50
    assert provider.fetches == 2


async def test_while_the_provider_is_away_known_keys_go_on_and_others_are_put_off() -> None:
    """Nobody can say that an unknown key is wrong, so its bearer is told to come back."""
    provider = Provider("a")
    await provider.knows("a")
    provider.names = None
    provider.clock.advance(PAUSE_SECONDS)

    with pytest.raises(IdentityUnavailableError) as caught:
        await provider.knows("b")

    assert caught.value.retry_after_seconds == PAUSE_SECONDS
    assert await provider.knows("a")


async def test_without_any_keys_nobody_can_be_known() -> None:
    """A service that starts before its provider does answers as soon as that is there."""
    provider = Provider("a")
    provider.names = None
    with pytest.raises(IdentityUnavailableError):
        await provider.knows("a")
    provider.names = ("a",)
    provider.clock.advance(PAUSE_SECONDS)

    assert await provider.knows("a")


async def test_a_fetch_that_hangs_ends() -> None:
    """Those who wait for it are answered within seconds."""
    provider = Provider("a")
    provider.hangs = True
    asking = asyncio.ensure_future(provider.knows("a"))
    await _settle()

    provider.clock.advance(FETCH_SECONDS)

    with pytest.raises(IdentityUnavailableError):
        await asking


async def test_who_stops_waiting_does_not_stop_the_fetch() -> None:
    """One caller that leaves costs the others nothing."""
    provider = Provider("a")
    first, second = (asyncio.ensure_future(provider.knows("a")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()

    assert await second
    assert provider.fetches == 1


async def test_withdrawn_keys_are_forgotten_in_time() -> None:
    """It looks again by itself, sooner after a failure, and tells whether it could."""
    provider = Provider("a")
    async with provider.running():
        provider.names = None
        provider.clock.advance(REFRESH_SECONDS)
        await _settle()
        assert await provider.knows("a")
        generation, provider.names = provider.keys.generation, ("b",)
        provider.clock.advance(PAUSE_SECONDS)
        await _settle()

        assert not await provider.knows("a")
        assert provider.keys.generation > generation
    told = [event.outcome for event in provider.observer.of(CredentialsRead)]
    assert told == ["success", "error", "success"]


class Rotation(RuleBasedStateMachine):
    """Whatever provider and callers do: no key is made up, none is lost to a failure, fetches are rare."""

    names = st.sampled_from("abc")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.provider = Provider("a")
        self.fetched: set[str] = set()
        self.fetched_at: list[float] = []

    @rule(names=st.none() | st.sets(names, min_size=1))
    def publish(self, names: set[str] | None) -> None:
        self.provider.names = None if names is None else tuple(sorted(names))

    @rule(seconds=st.floats(0, 2 * PAUSE_SECONDS))
    def wait(self, seconds: float) -> None:
        self.provider.clock.advance(seconds)

    @rule(name=names)
    def present(self, name: str) -> None:
        fetches, was_known = self.provider.fetches, name in self.fetched
        try:
            knows = self.loop.run_until_complete(self.provider.knows(name))
        except IdentityUnavailableError:
            assert not was_known
            knows = False
        if self.provider.fetches > fetches:
            self.fetched_at.append(self.provider.clock.monotonic())
            self.fetched = self.fetched if self.provider.names is None else set(self.provider.names)
        assert knows == (name in self.fetched)

    @invariant()
    def fetches_are_rare(self) -> None:
        pauses = [
            later - earlier for earlier, later in zip(self.fetched_at, self.fetched_at[1:], strict=False)
        ]
        assert all(pause >= PAUSE_SECONDS for pause in pauses)

    def teardown(self) -> None:
        self.loop.close()


TestRotation = Rotation.TestCase
TestRotation.settings = settings(max_examples=30, stateful_step_count=15, deadline=None)
