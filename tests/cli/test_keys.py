"""Keys are made, listed and revoked without one of them being shown twice."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from agent_service.access.key import digest_of
from agent_service.access.key_file import read_keys
from agent_service.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the keys are, by the setting."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_KEYS_FILE", "keys.json")
    return tmp_path / "keys.json"


def _keys(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["keys", *arguments])


def _made(*arguments: str) -> str:
    """The id of a new key."""
    found = re.match("ask_([0-9a-f]{12})_", _keys("create", *arguments).stdout)
    assert found
    return found[1]


def test_a_key_is_printed_once_and_only_its_hash_is_kept(file: Path) -> None:
    """Alone on standard output, for scripts."""
    result = _keys("create", "--name", "Ada")
    (key,) = read_keys(file)

    assert result.exit_code == 0
    assert result.stdout == result.stdout.strip() + "\n"
    assert digest_of(result.stdout.strip()).hex() == key.sha256
    assert result.stdout.strip() not in file.read_text() + result.stderr
    assert key.id in result.stderr
    assert (key.name, key.user_id, key.expires_at) == ("Ada", None, None)
    assert key.scopes == {"query"}


def test_a_key_has_what_was_asked_for(file: Path) -> None:
    """Each option ends up in the file."""
    _made(
        *("--name", "All", "--scope", "metrics", "--scope", "admin", "--user", "ada"),
        *("--rate-limit", "10/second;600/hour", "--tokens-per-day", "5000", "--expires", "30"),
    )
    (key,) = read_keys(file)

    assert key.scopes == {"metrics", "admin"}
    assert (key.user_id, key.rate_limit, key.tokens_per_day) == ("ada", "10/second;600/hour", 5000)
    assert key.expires_at is not None
    assert (key.expires_at - key.created_at).days == 30


def test_keys_are_listed_without_anything_secret(file: Path) -> None:
    """For people as a table, for programs as JSON; neither has a hash."""
    first, second = _made("--name", "Ada"), _made("--name", "Prometheus", "--scope", "metrics")
    table, listed = _keys("list").stdout, json.loads(_keys("list", "--json").stdout)

    assert [line.split()[:3] for line in table.splitlines()] == [
        ["ID", "NAME", "SCOPES"],
        [first, "Ada", "query"],
        [second, "Prometheus", "metrics"],
    ]
    assert [(key["id"], key["scopes"]) for key in listed] == [(first, ["query"]), (second, ["metrics"])]
    assert all(key.sha256 not in table and "sha256" not in listed[0] for key in read_keys(file))


def test_an_empty_list_says_where_it_looked(file: Path) -> None:
    """JSON stays JSON."""
    assert "keys.json" in _keys("list").stderr
    assert json.loads(_keys("list", "--json").stdout) == []
    assert not file.exists()


def test_a_revoked_key_is_gone(file: Path) -> None:
    """A second time there is nothing to revoke."""
    key_id = _made("--name", "Ada")

    assert _keys("revoke", key_id).exit_code == 0
    assert read_keys(file) == ()
    again = _keys("revoke", key_id)
    assert (again.exit_code, key_id in again.stderr) == (1, True)


def test_the_option_names_another_file(file: Path, tmp_path: Path) -> None:
    """Instead of the setting's."""
    other = tmp_path / "other.json"
    _made("--name", "Ada", "--file", str(other))

    assert len(read_keys(other)) == 1
    assert not file.exists()


def test_the_file_is_that_of_the_dotenv_file_too(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for the service itself."""
    monkeypatch.delenv("API_KEYS_FILE")
    file.with_name(".env").write_text("API_KEYS_FILE=keys.json\n")
    _made("--name", "Ada")

    assert len(read_keys(file)) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--name", "x", "--rate-limit", "fast"), "--rate-limit: Value error, must be such as 60/minute"),
        (("--name", "x", "--user", ""), "--user: "),
        (("--name", "x", "--tokens-per-day", "0"), "--tokens-per-day: "),
        (("--name", "x", "--scope", "all"), "--scope"),
        (("--name", "x", "--expires", "0"), "--expires"),
        ((), "--name"),
    ],
)
def test_wrong_options_are_told_by_name(file: Path, arguments: tuple[str, ...], told: str) -> None:
    """And nothing is written."""
    result = _keys("create", *arguments)

    assert result.exit_code == 2
    assert told in result.stderr
    assert not file.exists()


def test_without_a_place_for_keys_it_says_how_to_name_one(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written where nobody would look for it."""
    monkeypatch.delenv("API_KEYS_FILE")
    result = _keys("create", "--name", "x")

    assert (result.exit_code, "set API_KEYS_FILE, or give --file" in result.stderr) == (2, True)


def test_a_file_that_is_wrong_or_out_of_reach_is_told(file: Path) -> None:
    """In a sentence, without a traceback."""
    file.write_text("{}")
    wrong = _keys("create", "--name", "x")
    away = _keys("create", "--name", "x", "--file", "/nowhere/keys.json")

    assert (wrong.exit_code, "is no file of API keys: version: Field required" in wrong.stderr) == (1, True)
    assert (away.exit_code, "/nowhere/" in away.stderr) == (1, True)
