"""States of a program are kept, tried out, made active and taken back, with a service running or not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from click.testing import CliRunner, Result

from agent_service.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An operator's folder, with a shelf in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENT_RELEASES_PATH", "shelf")
    return tmp_path


def _release(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["release", *arguments])


def _state(folder: Path, name: str = "state.json", **change: Any) -> str:
    """A saved state of the program ``triage``; its path."""
    program = dspy.Predict("ticket -> team")
    program.demos = [dspy.Example(ticket="The invoice is wrong.", team="billing")]
    program.save(str(folder / name))
    state = {**json.loads((folder / name).read_text()), **change}
    (folder / name).write_text(json.dumps(state))
    return name


@pytest.fixture
def triage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, with a program of the operator's own."""
    (folder / "released_triage.py").write_text(
        'import dspy\n\n\ndef make():\n    return dspy.Predict("ticket -> team")\n'
    )
    monkeypatch.setenv("AGENT_PROGRAM", "triage=released_triage:make")
    return folder


def _listed(*arguments: str) -> dict[str, Any]:
    (found,) = json.loads(_release("list", "--json", *arguments).stdout)
    assert isinstance(found, dict)
    return found


def test_a_release_goes_its_way(triage: Path) -> None:
    """Added, tried out on a share, activated, taken back: each command says who answers then."""
    added = _release("add", _state(triage), "--note", "with an invoice")
    version = added.stdout.strip()
    tried = _release("activate", version[:6], "--percent", "10")
    active = _release("activate", version)
    back = _release("rollback")

    assert [result.exit_code for result in (added, tried, active, back)] == [0, 0, 0, 0]
    assert added.stdout == f"{version}\n"
    assert tried.stdout == f"triage: {version} answers 10 % of the conversations, base the others.\n"
    assert active.stdout == f"triage: {version} answers everybody.\n"
    assert back.stdout == "triage: base answers everybody.\n"
    assert "within about a second" in active.stderr
    assert (_listed()["active"], _listed()["releases"][0]["note"]) == ("base", "with an invoice")
    assert version in _release("list").stdout


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"signature": {"instructions": "Sort.", "fields": []}}, "self has other fields than the program"),
        ({"callbacks": []}, "self holds callbacks, which is not loaded"),
    ],
)
def test_a_state_of_another_program_is_not_kept(triage: Path, change: dict[str, Any], reason: str) -> None:
    """The program is loaded with it first; what is wrong is told of each predictor."""
    result = _release("add", _state(triage, **change))

    assert result.exit_code == 1
    assert reason in result.stderr
    assert _listed()["releases"] == []


def test_a_pickle_is_not_read(triage: Path) -> None:
    """Reading it could run any code."""
    (triage / "state.pkl").write_bytes(b"\x80\x04")
    result = _release("add", "state.pkl")

    assert result.exit_code == 1
    assert "pickle" in result.stderr


def test_a_program_that_cannot_be_loaded_is_told(triage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be said of a state then."""
    monkeypatch.setenv("AGENT_PROGRAM", "triage=released_nowhere:make")
    result = _release("add", _state(triage))

    assert result.exit_code == 1
    assert "released_nowhere" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["activate", "nope"], "has no release nope; there are base"),
        (["rollback"], "no version was active before"),
    ],
)
def test_what_cannot_be_done_ends_with_a_sentence(folder: Path, arguments: list[str], reason: str) -> None:
    """And with the exit status of a failure."""
    assert folder.is_dir()
    result = _release(*arguments)

    assert result.exit_code == 1
    assert reason in result.stderr


@pytest.mark.parametrize("arguments", [["list"], ["rollback"], ["activate", "base"]])
def test_without_a_shelf_the_setting_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """It is wrong usage."""
    monkeypatch.chdir(tmp_path)
    result = _release(*arguments)

    assert result.exit_code == 2
    assert "AGENT_RELEASES_PATH" in result.stderr


def test_the_settings_may_be_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the service reads them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("AGENT_RELEASES_PATH=shelf\nAGENT_PROGRAM=one=builtin\n")

    assert _release("list").stdout.startswith("one: base answers everybody.\n")


def test_wrong_settings_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the service would."""
    assert folder.is_dir()
    monkeypatch.setenv("AGENT_POOL_SIZE", "none")
    result = _release("list")

    assert result.exit_code == 2
    assert "AGENT_POOL_SIZE" in result.stderr


def test_of_several_programs_one_is_to_be_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taking back the wrong one would change what callers get; the list has all of them."""
    assert folder.is_dir()
    monkeypatch.setenv("AGENT_PROGRAM", "one=builtin,two=a.b:c")
    unnamed, unknown = _release("rollback"), _release("rollback", "--program", "three")

    assert (unnamed.exit_code, unknown.exit_code) == (2, 2)
    assert "--program: one, two" in unnamed.stderr
    assert "No program three is served; AGENT_PROGRAM names one, two" in unknown.stderr
    assert _release("activate", "base", "--program", "two").stdout == "two: base answers everybody.\n"
    assert [each["program"] for each in json.loads(_release("list", "--json").stdout)] == ["one", "two"]
    assert _listed("--program", "two")["program"] == "two"
    assert _release("list").stdout.count("VERSION") == 2


def test_a_shelf_that_cannot_be_reached_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is: here a file that is no folder, and a Redis that is not there."""
    (folder / "file").touch()
    monkeypatch.setenv("AGENT_RELEASES_PATH", "file")
    no_folder = _release("list")
    monkeypatch.setenv("AGENT_RELEASES_PATH", "redis")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    no_redis = _release("list")

    assert (no_folder.exit_code, no_redis.exit_code) == (1, 1)
    assert "The releases cannot be reached: file/default/releases.json" in no_folder.stderr
    assert "The releases cannot be reached: Redis: " in no_redis.stderr
