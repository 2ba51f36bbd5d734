from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from agent_service.core.observer import ReleaseRolledBack, StreamCutOff
from agent_service.programs.base import VersionShare
from agent_service.releases.served import ReleaseOptions, ServedReleases
from agent_service.releases.standing import Standing
from agent_service.releases.trial import TrialOptions
from tests.releases.scene import ADA, PROGRAM, Scene, ended

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = ReleaseOptions(poll_seconds=2.0, trial=TrialOptions(margin=0.2, min_outcomes=3, window=10))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A shelf in a folder."""
    return Scene(tmp_path / "shelf")


def _served(scene: Scene) -> ServedReleases:
    return ServedReleases(
        {scene.base: scene.build},
        shelf=scene.shelf,
        options=OPTIONS,
        clock=scene.clock,
        observer=scene.observer,
    )


def _answering(served: ServedReleases, scene: Scene) -> str:
    return served.answering(scene.base, ADA).spec.version_name


async def _stand(scene: Scene, standing: Standing) -> Standing:
    return await scene.shelf.change(PROGRAM, lambda _: standing)


async def test_what_stands_answers_from_the_start(scene: Scene) -> None:
    """No query meets the program of before a restart."""
    version = await scene.add("one")
    await _stand(scene, Standing().activated(version))
    served = _served(scene)
    await served.start()

    assert _answering(served, scene) == "one"
    assert served.shares() == (VersionShare(PROGRAM, version, 1.0),)


async def test_the_shelf_is_looked_at_again_and_again(scene: Scene) -> None:
    """After each interval, until it is cancelled."""
    served = _served(scene)
    looks: asyncio.Queue[str] = asyncio.Queue()
    scene.shelf.looked = looks.put_nowait
    running = asyncio.ensure_future(served.run())
    for _ in range(3):
        await asyncio.sleep(0)
        scene.clock.advance(1.9)
        assert looks.empty()
        scene.clock.advance(0.1)
        assert await looks.get() == PROGRAM
        await asyncio.sleep(0)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert scene.clock.pending == 0


async def test_a_worse_version_is_taken_back(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """On the shelf, for all that follow it; the log says what was found."""
    bad = await scene.add("bad")
    served = _served(scene)
    await served.start()
    await _stand(scene, Standing().trying(bad, 100))
    await served.look()
    for _ in range(3):
        served.observe(ended("base"))
        served.observe(ended(bad, "internal_error", may_blame_program=True))
    await served.look()

    assert _answering(served, scene) == "base"
    assert await scene.shelf.standing(PROGRAM) == Standing()
    assert scene.observer.events == [ReleaseRolledBack("", PROGRAM, bad, "base")]
    assert f"version {bad} fails more often and was taken back, base answers" in caplog.text
    assert f"{bad} 3 of 3" in caplog.text


async def test_failures_of_others_do_not_count(scene: Scene) -> None:
    """Callers who leave, a provider that is down, queries of programs without releases, other events."""
    canary = await scene.add("canary")
    await _stand(scene, Standing().trying(canary, 100))
    served = _served(scene)
    await served.start()
    for _ in range(9):
        served.observe(ended(canary, "upstream_error"))
        served.observe(StreamCutOff("r"))
    served.observe(ended(canary, "internal_error", may_blame_program=True))
    await served.look()

    assert _answering(served, scene) == "canary"
    assert scene.observer.events == []


async def test_what_answers_from_the_start_is_not_on_trial(scene: Scene) -> None:
    """Of the version before it nothing is known: a restart on a bad day must not go back."""
    await _stand(scene, Standing().activated(await scene.add("one")))
    served = _served(scene)
    await served.start()
    for _ in range(3):
        served.observe(ended((await scene.shelf.standing(PROGRAM)).active, "timeout", may_blame_program=True))
    await served.look()

    assert _answering(served, scene) == "one"


async def test_a_standing_that_does_not_hold_is_not_judged(scene: Scene) -> None:
    """What the canary of before does says nothing of a version that cannot be served."""
    canary, unfit = await scene.add("canary"), await scene.add("unfit")
    served = _served(scene)
    await _stand(scene, Standing().trying(canary, 100))
    await served.start()
    standing = await _stand(scene, Standing().activated(unfit))
    for _ in range(3):
        served.observe(ended(canary, "internal_error", may_blame_program=True))
    await served.look()

    assert await scene.shelf.standing(PROGRAM) == standing
    assert _answering(served, scene) == "canary"


async def test_what_others_have_changed_meanwhile_stays(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """It was another standing that was judged; and who is second does not tell it again."""
    bad = await scene.add("bad")
    first, second = _served(scene), _served(scene)
    await _stand(scene, Standing().trying(bad, 100))
    for served in (first, second):
        await served.start()
        for _ in range(3):
            served.observe(ended(bad, "internal_error", may_blame_program=True))
    await asyncio.gather(first.look(), second.look())

    assert len(scene.observer.of(ReleaseRolledBack)) == 1
    assert await scene.shelf.standing(PROGRAM) == Standing()
    await first.look()
    await second.look()
    assert (_answering(first, scene), _answering(second, scene)) == ("base", "base")
    assert "cannot be read" not in caplog.text


async def test_a_shelf_that_fails_is_told_when_it_begins_and_when_it_ends(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """What answers goes on meanwhile, and at a start it is the program itself."""
    await _stand(scene, Standing().activated(await scene.add("one")))
    served = _served(scene)
    scene.shelf.is_broken = True
    await served.start()
    assert _answering(served, scene) == "base"
    scene.shelf.is_broken = False
    await served.look()
    scene.shelf.is_broken = True
    for _ in range(3):
        await served.look()
    assert _answering(served, scene) == "one"
    scene.shelf.is_broken = False
    await served.look()
    await served.look()

    said = [record.message for record in caplog.records if "can" in record.message]
    begin = f"releases of {PROGRAM} cannot be read: OSError: the disk is gone"
    assert said == [begin, again := f"releases of {PROGRAM} can be read again", begin, again]


async def test_a_shelf_that_was_emptied_takes_nothing_back(
    scene: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder that is not mounted looks like one that is new."""
    await _stand(scene, Standing().activated(await scene.add("one")))
    served = _served(scene)
    await served.start()
    shutil.rmtree(tmp_path / "shelf")
    await served.look()

    assert _answering(served, scene) == "one"
    assert f"those of {PROGRAM} are gone" in caplog.text


async def test_all_can_be_taken_back_by_hand(scene: Scene) -> None:
    """Back to the beginning, with the releases still there."""
    await _stand(scene, Standing().activated(await scene.add("one")))
    served = _served(scene)
    await served.start()
    await scene.shelf.change(PROGRAM, Standing.rolled_back)
    await served.look()

    assert _answering(served, scene) == "base"


def test_an_interval_is_positive() -> None:
    """Without one the shelf would be looked at without end."""
    with pytest.raises(ValueError, match="poll_seconds"):
        ReleaseOptions(poll_seconds=0)
