"""Which programs are served under which names, as operators write it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from agent_service.config.sources import SettingProblem, wrong
from agent_service.programs.base import NamedProgram

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BUILT_IN = "builtin"
BUILT_IN_NAME = "default"

_PROGRAM = re.compile(
    r"(?:(?P<name>[a-z0-9_-]{1,64})=)?(?P<path>builtin|[A-Za-z_][\w.]*:[A-Za-z_](?:[\w.]*\w)?)"
)
_STATE = re.compile(r"(?:(?P<name>[\w-]{1,64})=)?(?P<path>[^=,]+)")


def _programs(value: Any) -> Any:
    """``[name=]package.module:attribute``, comma-separated; a program without a name has its attribute's."""
    if not isinstance(value, str):
        return value
    found = [_PROGRAM.fullmatch(part.strip()) for part in value.split(",")]
    named = [(part["name"] or _own_name(part["path"]), part["path"]) for part in found if part is not None]
    if None in found or len(dict(named)) < len(found):
        raise ValueError(value)
    return tuple(named)


def _states(value: Any) -> Any:
    """``[name=]path``, comma-separated; without a name it is the only program's."""
    if not isinstance(value, str):
        return value
    found = [_STATE.fullmatch(part.strip()) for part in value.split(",")]
    if None in found:
        raise ValueError(value)
    named = [(part["name"] or "", part["path"]) for part in found if part is not None]
    if len(dict(named)) < len(found):
        raise ValueError(value)
    return tuple(named)


Programs = Annotated[tuple[tuple[str, str], ...], BeforeValidator(_programs)]
States = Annotated[tuple[tuple[str, str], ...], BeforeValidator(_states)]


def named_programs(
    programs: Sequence[tuple[str, str]], states: Sequence[tuple[str, str]]
) -> tuple[NamedProgram, ...]:
    """What is served, the default first; the built-in agent when nothing is named."""
    served = tuple(programs) or ((BUILT_IN_NAME, BUILT_IN),)
    of = dict(states)
    only = of.get("")
    return tuple(
        NamedProgram(name, None if path == BUILT_IN else path, of.get(name, only)) for name, path in served
    )


def state_contradictions(
    programs: Sequence[tuple[str, str]], states: Sequence[tuple[str, str]]
) -> list[SettingProblem]:
    """States of programs that are not served, or of none in particular where there are several."""
    names: Mapping[str, str] = dict(programs) or {BUILT_IN_NAME: BUILT_IN}
    found = []
    for name, path in states:
        if name and name not in names:
            allowed = f"must be of a program that is served: {', '.join(names)}"
            found.append(wrong("AGENT_PROGRAM_STATE", f"{name}={path}", allowed))
        if not name and (len(names) > 1 or len(states) > 1):
            allowed = f"must name the program whose it is, such as {next(iter(names))}={path}"
            found.append(wrong("AGENT_PROGRAM_STATE", path, allowed))
    return found


def _own_name(path: str) -> str:
    return BUILT_IN_NAME if path == BUILT_IN else path.partition(":")[2].rpartition(".")[2]
