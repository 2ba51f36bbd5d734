from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from agent_service.core.messages import ConversationId
from agent_service.core.observer import ReleaseRefused
from agent_service.programs.base import VersionShare
from agent_service.releases.standing import BASE, Standing
from agent_service.releases.versions import ProgramVersions
from tests.releases.scene import ADA, PROGRAM, Scene

if TYPE_CHECKING:
    from pathlib import Path

    from agent_service.programs.base import Program


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A shelf in a folder."""
    return Scene(tmp_path)


def _versions(scene: Scene) -> ProgramVersions:
    return ProgramVersions(scene.base, shelf=scene.shelf, build=scene.build, observer=scene.observer)


def _answering(versions: ProgramVersions) -> str | None:
    return versions.answering(ADA).spec.version


async def test_what_stands_answers(scene: Scene) -> None:
    """The program itself at first; each version is made once, for as long as it may be gone back to."""
    one, two = await scene.add("one"), await scene.add("two")
    versions = _versions(scene)
    standing = Standing()
    assert versions.answering(ADA) is scene.base

    for version, answers in [(one, "one"), (two, "two"), (one, "one"), (BASE, None)]:
        standing = standing.activated(version)
        await versions.follow(standing)
        await versions.follow(standing)
        assert _answering(versions) == answers
        assert versions.shares() == (VersionShare(PROGRAM, (answers and version) or "base", 1.0),)
    assert scene.built == ["one", "two"]


async def test_a_canary_answers_its_share(scene: Scene) -> None:
    """Each conversation one version, as the standing says."""
    canary = await scene.add("canary")
    versions, standing = _versions(scene), Standing().trying(canary, 25)
    await versions.follow(standing)

    for number in range(50):
        conversation = ConversationId(f"user-{number}")
        tried = standing.version_for(conversation.user_id, conversation.session_id) == canary
        assert (versions.answering(conversation).spec.version == "canary") is tried
    assert versions.shares() == (VersionShare(PROGRAM, "base", 0.75), VersionShare(PROGRAM, canary, 0.25))


async def test_nothing_changes_before_all_is_ready(scene: Scene) -> None:
    """What answers while a version is made is what did before."""
    one, canary = await scene.add("one"), await scene.add("canary")
    may_end = asyncio.Event()

    async def build(state: bytes) -> Program:
        if json.loads(state)["mood"] == "canary":
            await may_end.wait()
        return await scene.build(state)

    versions = ProgramVersions(scene.base, shelf=scene.shelf, build=build, observer=scene.observer)
    following = asyncio.ensure_future(versions.follow(Standing().activated(one).trying(canary, 100)))
    await asyncio.sleep(0)
    assert versions.answering(ADA) is scene.base

    may_end.set()
    await following
    assert _answering(versions) == "canary"


async def test_a_version_that_cannot_be_served_changes_nothing(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told of once, however often it is looked at; and made again when it is asked for anew."""
    one, unfit = await scene.add("one"), await scene.add("unfit")
    versions, standing = _versions(scene), Standing().activated(one)
    await versions.follow(standing)
    for _ in range(3):
        await versions.follow(standing.activated(unfit))

    assert _answering(versions) == "one"
    assert scene.observer.events == [ReleaseRefused("", PROGRAM, unfit)]
    assert caplog.text.count(f"version {unfit} cannot be served: it does not fit") == 1

    await versions.follow(standing)
    await versions.follow(standing.activated("never added"))
    assert "has no release never added" in caplog.text
    assert _answering(versions) == "one"


async def test_a_canary_that_cannot_be_served_is_left_out(scene: Scene) -> None:
    """The version beside it answers all."""
    one, unfit = await scene.add("one"), await scene.add("unfit")
    versions = _versions(scene)
    await versions.follow(Standing().activated(one).trying(unfit, 50))

    assert versions.in_force == Standing().activated(one)
    assert versions.shares() == (VersionShare(PROGRAM, one, 1.0),)


async def test_a_shelf_that_fails_can_be_tried_again(scene: Scene) -> None:
    """Nothing has changed meanwhile."""
    standing = Standing().activated(await scene.add("one"))
    versions = _versions(scene)
    scene.shelf.is_broken = True
    with pytest.raises(OSError, match="gone"):
        await versions.follow(standing)
    assert (versions.in_force, versions.wanted) == (Standing(), None)

    scene.shelf.is_broken = False
    await versions.follow(standing)
    assert _answering(versions) == "one"


async def test_a_release_of_the_same_state_is_the_program_itself(tmp_path: Path) -> None:
    """One that was started with a state is not made again with it, and is called by it."""
    same = await Scene(tmp_path).add("same")
    scene = Scene(tmp_path, version=same)
    versions = _versions(scene)
    await versions.follow(Standing().activated(same))

    assert versions.answering(ADA) is scene.base
    assert (versions.shown(BASE), versions.shown("v2")) == (same, "v2")
    assert scene.built == []
