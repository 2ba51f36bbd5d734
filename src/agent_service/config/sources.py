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


@dataclass(frozen=True, slots=True)
class GivenValue:
    """What a variable is set to, and where that was read, in words."""

    value: str
    source: str


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
    return {name: given.value for name, given in given_values(environ, dotenv_path, names).items()}


def given_values(
    environ: Mapping[str, str],
    dotenv_path: Path,
    names: Collection[str],
    *,
    arguments: Mapping[str, str] | None = None,
) -> dict[str, GivenValue]:
    """Those of ``names`` that are set, with their sources: ``arguments``, the environment, the file.

    What wins is said with what it hides. Raises as ``variables``.
    """
    layers = [
        _in(arguments or {}, names, "command line"),
        _in(environ, names, "environment"),
        _from_file(dotenv_path),
    ]
    found = {}
    for name in names:
        given = [layer[name] for layer in layers if name in layer]
        if given:
            sources = ", instead of ".join(each.source for each in given[:2])
            found[name] = GivenValue(given[0].value, sources)
    return found


def _in(values: Mapping[str, str], names: Collection[str], source: str) -> dict[str, GivenValue]:
    return {name: GivenValue(values[name].strip(), source) for name in names if values.get(name, "").strip()}


def shown(name: str, value: str) -> str:
    """``value`` as it may be shown: a secret as ``***``, addresses without passwords and parameters, cut."""
    if name in _SECRETS:
        return "***"
    without_password = re.sub(r"//\S*@", "//***@", value)
    return re.sub(r"(://[^\s?]*)\?\S*", r"\1?***", without_password)[:_MAX_SHOWN_CHARS]


def wrong(name: str, value: str, allowed: str) -> SettingProblem:
    """A problem with ``value``, which is shown without its secrets."""
    if not value:
        return SettingProblem(name, "", allowed)
    safe = shown(name, value)
    return SettingProblem(name, safe if name in _SECRETS else repr(safe), allowed)


def _from_file(path: Path) -> dict[str, GivenValue]:
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
    return {
        binding.key: GivenValue(
            (binding.value or "").strip(), f"{path.absolute()} line {binding.original.line}"
        )
        for binding in bindings
        if binding.key and (binding.value or "").strip()
    }
