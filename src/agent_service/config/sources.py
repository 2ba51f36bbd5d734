"""Where settings come from, the environment and a ``.env`` file, and how a wrong one is told."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dotenv.parser import parse_stream

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

_SECRETS = ("AGENT_API_KEY", "OPENAI_API_KEY", "REDIS_URL", "SERVER_TLS_KEY_PASSWORD")
_MAX_SHOWN_CHARS = 80


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """One wrong variable: its name, its value as it may be shown (empty when unset), and what is allowed."""

    name: str
    shown: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.name}{self.shown and '='}{self.shown}: {self.allowed}"


class SettingsError(Exception):
    """The environment holds wrong values; ``problems`` has all of them."""

    def __init__(self, problems: tuple[SettingProblem, ...]) -> None:
        self.problems = problems
        super().__init__("\n  ".join(("These settings are wrong:", *map(str, problems))))


def variables(environ: Mapping[str, str], dotenv_path: Path, names: Collection[str]) -> dict[str, str]:
    """The values of ``names``; the environment wins over the file, and an empty value is an unset one.

    Raises:
        SettingsError: when the file is there and cannot be read.
    """
    found = _from_file(dotenv_path)
    found.update({name: value for name, value in environ.items() if value.strip()})
    return {name: found[name].strip() for name in names if name in found}


def wrong(name: str, value: str, allowed: str) -> SettingProblem:
    """A problem with ``value``, which is shown without its secrets."""
    if name in _SECRETS:
        return SettingProblem(name, "***" if value else "", allowed)
    without_password = re.sub(r"//[^/@]*@", "//***@", value)
    return SettingProblem(name, repr(without_password[:_MAX_SHOWN_CHARS]) if value else "", allowed)


def _from_file(path: Path) -> dict[str, str]:
    """Read ``NAME=value`` lines as they stand, without expanding ``$`` in them."""
    try:
        with path.open(encoding="utf-8-sig") as lines:
            bindings = list(parse_stream(lines))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        unreadable = SettingProblem(str(path), "", f"must be a readable UTF-8 file ({type(error).__name__})")
        raise SettingsError((unreadable,)) from error
    unclear = tuple(
        SettingProblem(f"{path} line {binding.original.line}", "", "must be NAME=value")
        for binding in bindings
        if binding.error or (binding.key is not None and binding.value is None)
    )
    if unclear:
        raise SettingsError(unclear)
    return {binding.key: binding.value for binding in bindings if binding.key and binding.value}
