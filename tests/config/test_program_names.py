"""Which programs are served under which names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent_service.config import Settings, SettingsError, options
from agent_service.programs.base import NamedProgram


def programs(**environ: str) -> tuple[NamedProgram, ...]:
    """What is served with these settings."""
    settings = Settings.load(environ, dotenv_path=Path("/nowhere/.env"))
    return options.program_options(settings).programs


def test_nothing_named_is_the_built_in_agent() -> None:
    """Under the name that it always had."""
    assert programs() == (NamedProgram("default"),)
    assert programs(AGENT_PROGRAM="builtin") == (NamedProgram("default"),)


def test_a_program_without_a_name_has_its_attributes() -> None:
    """As it is spelled."""
    assert programs(AGENT_PROGRAM="my.mod:Nest.Inner") == (NamedProgram("Inner", "my.mod:Nest.Inner"),)


def test_several_are_served_in_their_order() -> None:
    """The first is the default; the built-in agent can be one of them, and spaces do not matter."""
    assert programs(AGENT_PROGRAM="support=my.mod:a, tri-age_2=my.mod:b,demo=builtin") == (
        NamedProgram("support", "my.mod:a"),
        NamedProgram("tri-age_2", "my.mod:b"),
        NamedProgram("demo"),
    )


def test_states_go_to_their_programs() -> None:
    """By name; without one it is that of the only program, the built-in agent too."""
    both = programs(AGENT_PROGRAM="a=m:x,b=m:y", AGENT_PROGRAM_STATE="b=states/b.json")
    assert [program.state for program in both] == [None, "states/b.json"]
    assert programs(AGENT_PROGRAM="m:x", AGENT_PROGRAM_STATE="x.json")[0].state == "x.json"
    assert programs(AGENT_PROGRAM_STATE="x.json")[0].state == "x.json"


@pytest.mark.parametrize(
    "environ",
    [
        {"AGENT_PROGRAM": "a=m:x,a=m:y"},
        {"AGENT_PROGRAM": "m:x,n:x"},
        {"AGENT_PROGRAM": "A=m:x"},
        {"AGENT_PROGRAM": f"{'a' * 65}=m:x"},
        {"AGENT_PROGRAM": "a=m:x,"},
        {"AGENT_PROGRAM": "a=m"},
        {"AGENT_PROGRAM_STATE": "a=x.json,a=y.json"},
        {"AGENT_PROGRAM_STATE": "a=,b=y.json"},
        {"AGENT_PROGRAM": "a=m:x", "AGENT_PROGRAM_STATE": "b=x.json"},
        {"AGENT_PROGRAM": "a=m:x,b=m:y", "AGENT_PROGRAM_STATE": "x.json"},
        {"AGENT_PROGRAM": "a=m:x", "AGENT_PROGRAM_STATE": "a=x.json,y.json"},
    ],
)
def test_what_is_unclear_is_refused(environ: dict[str, Any]) -> None:
    """Two of one name, a state of nobody, or one that may be several's."""
    with pytest.raises(SettingsError, match=list(environ)[-1]):
        programs(**environ)
