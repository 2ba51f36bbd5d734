"""What an operator may do with releases, and what is refused with words that help."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from agent_service.releases.base import ReleaseError, version_of
from agent_service.releases.folder import FolderShelf
from agent_service.releases.operator import ReleaseOperator
from agent_service.releases.standing import BASE, Standing
from agent_service.testing import FakeClock

if TYPE_CHECKING:
    from pathlib import Path


def _state(number: int) -> bytes:
    return json.dumps({"number": number}).encode()


def _twins() -> tuple[bytes, bytes]:
    """Two states whose versions begin alike."""
    seen: dict[str, bytes] = {}
    for number in range(100):
        state = _state(number)
        first = version_of(state)[0]
        if first in seen:
            return seen[first], state
        seen[first] = state
    raise AssertionError("there are only 16 first characters")


class Checked:
    """What was asked to be checked; refuses what a test names."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.refused: bytes | None = None

    def __call__(self, program: str, state: bytes) -> None:
        self.asked.append((program, state))
        if state == self.refused:
            raise ReleaseError("other fields")


@pytest.fixture
def checked() -> Checked:
    """Allows everything at first."""
    return Checked()


@pytest.fixture
def operator(tmp_path: Path, checked: Checked) -> ReleaseOperator:
    """On an empty shelf."""
    return ReleaseOperator(shelf=FolderShelf(tmp_path, clock=FakeClock(wall=7.0)), check=checked)


async def test_a_state_is_kept_once_it_is_checked(operator: ReleaseOperator, checked: Checked) -> None:
    """With its note; it answers nobody before it is activated."""
    release = await operator.add("triage", _state(1), note="with demos")
    inventory = await operator.inventory("triage")

    assert checked.asked == [("triage", _state(1))]
    assert (inventory.program, inventory.releases) == ("triage", (release,))
    assert release.note == "with demos"
    assert inventory.standing == Standing()


async def test_a_state_that_the_program_does_not_take_is_not_kept(
    operator: ReleaseOperator, checked: Checked
) -> None:
    """It is refused before it is written."""
    checked.refused = _state(1)
    with pytest.raises(ReleaseError, match="other fields"):
        await operator.add("triage", _state(1))

    assert (await operator.inventory("triage")).releases == ()


async def test_what_is_no_state_is_not_checked(operator: ReleaseOperator, checked: Checked) -> None:
    """The program is not bothered with it."""
    with pytest.raises(ReleaseError, match="JSON"):
        await operator.add("triage", b"{")

    assert checked.asked == []


@pytest.mark.parametrize("note", ["x" * 201, "two\nlines", "\x1b[31m"])
async def test_a_note_is_a_short_line(operator: ReleaseOperator, note: str) -> None:
    """It stands in a table in terminals."""
    with pytest.raises(ReleaseError, match="200 printable"):
        await operator.add("triage", _state(1), note=note)
    await operator.add("triage", _state(1), note="x" * 200)


async def test_a_version_answers_everybody_or_a_share(operator: ReleaseOperator) -> None:
    """Less than all is a trial beside what is active."""
    one = (await operator.add("triage", _state(1))).version
    two = (await operator.add("triage", _state(2))).version

    active = await operator.activate("triage", one)
    tried = await operator.activate("triage", two, percent=12.5)

    assert active.standing == Standing(one, (BASE,))
    assert tried.standing == Standing(one, (BASE,), two, 12.5)
    assert (await operator.inventory("triage")).standing == tried.standing
    assert (await operator.activate("triage", BASE)).standing.active == BASE


async def test_a_version_is_named_by_its_beginning(operator: ReleaseOperator) -> None:
    """As long as no other begins so."""
    one, two = [(await operator.add("triage", state)).version for state in _twins()]

    assert (await operator.activate("triage", two[:11])).standing.active == two
    with pytest.raises(ReleaseError, match=f"several releases {one[0]}...: {one}, {two}"):
        await operator.activate("triage", one[0])


@pytest.mark.parametrize("version", ["nope", "", "bas"])
async def test_an_unknown_version_is_refused_with_those_that_there_are(
    operator: ReleaseOperator, version: str
) -> None:
    """And changes nothing."""
    one = (await operator.add("triage", _state(1))).version
    with pytest.raises(ReleaseError, match=f"no release {version}; there are {one}, base"):
        await operator.activate("triage", version)

    assert (await operator.inventory("triage")).standing == Standing()


async def test_a_trial_of_what_is_active_is_refused(operator: ReleaseOperator) -> None:
    """It would be a trial of nothing; the words are for the operator."""
    one = (await operator.add("triage", _state(1))).version
    await operator.activate("triage", one)

    with pytest.raises(ReleaseError, match=f"triage: {one} is active already"):
        await operator.activate("triage", one, percent=5)


async def test_a_version_is_taken_back(operator: ReleaseOperator) -> None:
    """First the canary, then what is active; at the beginning there is nothing to go back to."""
    one = (await operator.add("triage", _state(1))).version
    two = (await operator.add("triage", _state(2))).version
    await operator.activate("triage", one)
    await operator.activate("triage", two, percent=5)

    assert (await operator.roll_back("triage")).standing == Standing(one, (BASE,))
    assert (await operator.roll_back("triage")).standing == Standing()
    with pytest.raises(ReleaseError, match="triage: no version was active before"):
        await operator.roll_back("triage")
