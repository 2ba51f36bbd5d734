"""What every shelf keeps to."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from agent_service.releases.base import MAX_STATE_BYTES, ReleaseError, Shelf, version_of
from agent_service.releases.folder import FolderShelf
from agent_service.releases.redis import RedisShelf
from agent_service.releases.standing import BASE, Standing
from agent_service.testing import FakeClock
from tests.redis_servers import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

STATE = json.dumps({"predict": {"demos": [], "signature": {"instructions": "Antworte höflich."}}}).encode()


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(params=["folder", "redis"])
async def shelves(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Shelf, Shelf]]:
    """Two processes' views of one shelf."""
    clock = FakeClock(wall=7.0)
    if request.param == "folder":
        yield FolderShelf(tmp_path / "shelf", clock=clock), FolderShelf(tmp_path / "shelf", clock=clock)
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    server.clear()
    clients: list[Any] = [Redis(port=server.port), Redis(port=server.port)]
    yield RedisShelf(clients[0], clock=clock), RedisShelf(clients[1], clock=clock)
    for client in clients:
        await client.aclose()


async def test_what_is_added_can_be_read_elsewhere(shelves: tuple[Shelf, Shelf]) -> None:
    """Byte for byte, under the name of its content, with the author's note."""
    here, there = shelves
    release = await here.add("triage", STATE, note="with demos")

    assert await there.releases("triage") == (release,)
    assert await there.state("triage", release.version) == STATE
    assert (release.version, release.added_at_epoch_seconds, release.note) == (
        version_of(STATE),
        7.0,
        "with demos",
    )
    assert await there.releases("other") == ()


async def test_the_same_content_is_the_same_release(shelves: tuple[Shelf, Shelf]) -> None:
    """It is not added twice, and keeps its first note."""
    here, there = shelves
    first = await here.add("triage", STATE, note="one")
    again = await there.add("triage", STATE, note="two")

    assert again == first
    assert await here.state("triage", first.version) == STATE
    assert len(await here.releases("triage")) == 1


@pytest.mark.parametrize("state", [b"[]", b"{", b"\x80\x04pickle", b'"' + b"x" * MAX_STATE_BYTES + b'"'])
async def test_what_is_no_state_is_refused(shelves: tuple[Shelf, Shelf], state: bytes) -> None:
    """Nothing of it is kept."""
    with pytest.raises(ReleaseError):
        await shelves[0].add("triage", state)
    assert await shelves[0].releases("triage") == ()


async def test_an_unknown_release_is_told(shelves: tuple[Shelf, Shelf]) -> None:
    """By its name."""
    with pytest.raises(ReleaseError, match="triage has no release 0123"):
        await shelves[0].state("triage", "0123")


async def test_the_beginning_is_base_for_everybody(shelves: tuple[Shelf, Shelf]) -> None:
    """Before anything was added or changed."""
    assert await shelves[0].standing("triage") == Standing(active=BASE)


async def test_a_change_is_seen_elsewhere(shelves: tuple[Shelf, Shelf]) -> None:
    """The next that reads sees it whole."""
    here, there = shelves
    after = await here.change("triage", lambda before: before.activated("v1").trying("v2", 12.5))

    assert await there.standing("triage") == after == Standing("v1", (BASE,), "v2", 12.5)
    assert await there.standing("other") == Standing()


async def test_no_change_is_lost_when_many_change_at_once(shelves: tuple[Shelf, Shelf]) -> None:
    """Each is made on what the one before it left, and additions meanwhile are kept."""

    def activate(shelf: Shelf, version: str) -> Any:
        return shelf.change("triage", lambda before: before.activated(version))

    states = [json.dumps({"number": number}).encode() for number in range(4)]
    await asyncio.gather(
        *(activate(shelves[number % 2], f"v{number}") for number in range(12)),
        *(shelves[number % 2].add("triage", state) for number, state in enumerate(states)),
    )
    standing = await shelves[0].standing("triage")

    assert sorted((*standing.earlier, standing.active)) == sorted([BASE, *(f"v{n}" for n in range(12))])
    assert {release.version for release in await shelves[1].releases("triage")} == set(
        map(version_of, states)
    )


async def test_a_change_that_is_refused_changes_nothing(shelves: tuple[Shelf, Shelf]) -> None:
    """Its own error comes back."""
    with pytest.raises(ValueError, match="no version was active"):
        await shelves[0].change("triage", Standing.rolled_back)
    assert await shelves[1].standing("triage") == Standing()


async def test_content_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    """A file that somebody edited is not served under the old name."""
    shelf = FolderShelf(tmp_path, clock=FakeClock())
    release = await shelf.add("triage", STATE)
    (tmp_path / "triage" / f"{release.version}.json").write_text("{}")

    with pytest.raises(ReleaseError, match="was changed after it was added"):
        await shelf.state("triage", release.version)


async def test_a_ledger_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """It is not taken for an empty one, which the next change would write."""
    shelf = FolderShelf(tmp_path, clock=FakeClock())
    await shelf.add("triage", STATE)
    (tmp_path / "triage" / "releases.json").write_text('{"releases": 1}')

    with pytest.raises(ReleaseError, match="cannot be read"):
        await shelf.change("triage", lambda before: before.activated("v1"))
