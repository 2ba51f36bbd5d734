from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent_service.config import Settings
from agent_service.config.sources import GivenValue, SettingsError, given_values, shown, variables, wrong

if TYPE_CHECKING:
    from pathlib import Path


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """The file fills what the environment leaves open; other names are left alone."""
    path = tmp_path / ".env"
    path.write_text(
        "\ufeffA=file # a comment\nexport B='from file'\n\n# C=no\nOTHER=x\nD=$A\n", encoding="utf-8"
    )
    assert variables({"A": "env", "C": "c", "OTHER": "y"}, path, ["A", "B", "C", "D"]) == {
        "A": "env",
        "B": "from file",
        "C": "c",
        "D": "$A",
    }


def test_an_empty_value_is_an_unset_one(tmp_path: Path) -> None:
    """``A=`` means that there is none, in either source; blanks around a value fall away."""
    path = tmp_path / ".env"
    path.write_text("A=\nB= \nC=file\n", encoding="utf-8")
    assert variables({"A": " ", "C": "", "D": " d\n"}, path, "ABCD") == {"C": "file", "D": "d"}


def test_a_value_is_told_with_its_source_and_what_it_hides(tmp_path: Path) -> None:
    """Arguments before the environment before the file; an empty value hides nothing."""
    path = tmp_path / ".env"
    path.write_text("# a comment\nA=file\nB=file\nC=file\n", encoding="utf-8")
    found = given_values({"A": "env", "B": "env", "C": "", "D": "env"}, path, "ABCDE", arguments={"A": "me"})
    assert found == {
        "A": GivenValue("me", "command line, instead of environment"),
        "B": GivenValue("env", f"environment, instead of {path} line 3"),
        "C": GivenValue("file", f"{path} line 4"),
        "D": GivenValue("env", "environment"),
    }


@pytest.mark.parametrize(
    ("name", "value", "safe"),
    [
        ("AGENT_API_KEY", "key", "***"),
        ("REDIS_URL", "redis://host", "***"),
        ("AGENT_API_BASE", "http://u:p@w/d@host:1/v1", "http://***@host:1/v1"),
        ("AGENT_API_BASE", "http://host/v1?key=k&x=1", "http://host/v1?***"),
        ("A", "x" * 1000, "x" * 80),
        ("A", "what? 1", "what? 1"),
    ],
)
def test_secrets_are_not_shown(name: str, value: str, safe: str) -> None:
    """Not those that are secret as a whole, nor those within an address."""
    assert shown(name, value) == safe


def test_every_setting_that_is_a_secret_is_known_as_one() -> None:
    """What pydantic hides in a traceback must not be shown by us."""
    secrets = {
        name.upper() for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)
    }
    assert secrets
    assert {shown(name, "x") for name in secrets} == {"***"}


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    """There need not be one."""
    assert variables({"A": "a"}, tmp_path / ".env", "AB") == {"A": "a"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"A=1\nnonsense\n", "line 2: must be NAME=value"),
        (b"A='unclosed\n", "line 1"),
        (b"A=\xff\n", "UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path, content: bytes, said: str) -> None:
    """A line that is passed over is a setting that is silently not there."""
    path = tmp_path / ".env"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=said):
        variables({}, path, "A")


def test_a_directory_in_the_files_place_stops_the_start(tmp_path: Path) -> None:
    """Docker makes one where the file to mount is missing."""
    with pytest.raises(SettingsError, match="IsADirectoryError"):
        variables({}, tmp_path, "A")


def test_a_wrong_value_is_shown_short_and_without_its_secrets() -> None:
    """Enough to find it, on one line."""
    assert str(wrong("A", "x\ny" * 100, "must be z")).startswith(r"A='x\nyx\ny")
    assert len(str(wrong("A", "x" * 1000, "must be z"))) < 120
    assert str(wrong("URL", "http://user:password@host", "no")) == "URL='http://***@host': no"
    assert str(wrong("AGENT_API_KEY", "key", "no")) == "AGENT_API_KEY=***: no"
    assert str(wrong("A", "", "must be set")) == "A: must be set"
