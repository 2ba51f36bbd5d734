"""An operator sees at a glance what there is and what answers."""

from __future__ import annotations

from agent_service.cli.inventory import document_of, lines_of, standing_of
from agent_service.releases.base import Release
from agent_service.releases.operator import Inventory
from agent_service.releases.standing import BASE, Standing

RELEASES = (Release("aaa111", 0.25, "first"), Release("bbb222", 86_400.0))


def _inventory(standing: Standing) -> Inventory:
    return Inventory("triage", RELEASES, standing)


def test_a_trial_is_told_with_its_share() -> None:
    """Both versions that answer, each with what it answers; times are UTC."""
    assert lines_of(_inventory(Standing("bbb222", (BASE,), "aaa111", 12.5))) == [
        "triage: aaa111 answers 12.5 % of the conversations, bbb222 the others.",
        "VERSION  ADDED (UTC)       ANSWERS           NOTE",
        "base     -                 -                 the program without one",
        "aaa111   1970-01-01 00:00  12.5 %, on trial  first",
        "bbb222   1970-01-02 00:00  87.5 %",
    ]


def test_without_a_trial_one_version_answers_everybody() -> None:
    """The beginning is the program itself."""
    lines = lines_of(_inventory(Standing()))

    assert standing_of(_inventory(Standing())) == "base answers everybody"
    assert lines[2].split()[:3] == ["base", "-", "everybody"]
    assert not any("everybody" in line for line in lines[3:])


def test_programs_get_everything() -> None:
    """With times that they can read."""
    assert document_of(_inventory(Standing("bbb222", (BASE,)))) == {
        "program": "triage",
        "active": "bbb222",
        "earlier": (BASE,),
        "canary": None,
        "percent": 0.0,
        "releases": [
            {"version": "aaa111", "added_at": "1970-01-01T00:00:00+00:00", "note": "first"},
            {"version": "bbb222", "added_at": "1970-01-02T00:00:00+00:00", "note": ""},
        ],
    }
