"""The file of keys is whole at every moment, and wrong ones are told by place."""

from __future__ import annotations

import json
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from agent_service.access.key_file import add_key, parse_keys, read_keys, remove_key
from agent_service.access.watched_file import UnreadableError
from tests.access.test_key import a_key

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_added_is_read_again(tmp_path: Path) -> None:
    """Every field, in the order in which the keys were made."""
    keys = (a_key(user_id="ada", rate_limit="1/second", tokens_per_day=5), a_key(id="ba9876543210"))
    for key in keys:
        add_key(tmp_path / "keys.json", key)

    assert read_keys(tmp_path / "keys.json") == keys


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    """Whoever can write a hash can make a key, and names are nobody's business."""
    add_key(tmp_path / "keys.json", a_key())

    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_a_key_is_removed_by_its_id(tmp_path: Path) -> None:
    """The others stay; what is not there cannot be removed."""
    path = tmp_path / "keys.json"
    add_key(path, a_key())
    add_key(path, a_key(id="ba9876543210"))

    assert remove_key(path, "0123456789ab") == a_key()
    assert remove_key(path, "0123456789ab") is None
    assert read_keys(path) == (a_key(id="ba9876543210"),)


def test_changes_at_once_are_all_kept(tmp_path: Path) -> None:
    """Each change reads what the one before has written."""
    path = tmp_path / "keys.json"
    threads = [
        threading.Thread(target=add_key, args=(path, a_key(id=f"{number:012x}"))) for number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(read_keys(path)) == 20


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """The file that it leads to is the one that changes."""
    (tmp_path / "link.json").symlink_to(tmp_path / "keys.json")
    add_key(tmp_path / "link.json", a_key())

    assert (tmp_path / "link.json").is_symlink()
    assert read_keys(tmp_path / "keys.json") == (a_key(),)


def test_a_file_that_is_wrong_is_not_written_over(tmp_path: Path) -> None:
    """Somebody's mistake must not cost all the keys; and no half-written file is left beside it."""
    path = tmp_path / "keys.json"
    path.write_text("{")

    with pytest.raises(UnreadableError):
        add_key(path, a_key())

    assert path.read_text() == "{"
    assert {found.name for found in tmp_path.iterdir()} == {"keys.json", "keys.json.lock"}


def test_an_id_may_be_there_only_once(tmp_path: Path) -> None:
    """Two keys under one id could not be told apart in the log, nor revoked one by one."""
    add_key(tmp_path / "keys.json", a_key())
    written = json.loads((tmp_path / "keys.json").read_bytes())

    with pytest.raises(UnreadableError, match="each id must be there only once"):
        parse_keys(json.dumps({"version": 1, "keys": written["keys"] * 2}).encode())


def test_without_a_file_there_are_no_keys(tmp_path: Path) -> None:
    """So that the first one can be made."""
    assert read_keys(tmp_path / "keys.json") == ()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "file: Invalid JSON"),
        (b"[]", "file: Input should be an object"),
        (b'{"version": 2, "keys": []}', "version: Input should be 1"),
        (b'{"version": 1}', "keys: Field required"),
        (b'{"version": 1, "keys": [], "more": 1}', "more: Extra inputs are not permitted"),
        (b'{"version": 1, "keys": [{"id": "x"}]}', "keys.0.id: "),
    ],
)
def test_a_wrong_file_is_told_by_place(content: bytes, told: str) -> None:
    """Whoever edits it by hand finds the line."""
    with pytest.raises(UnreadableError) as caught:
        parse_keys(content)

    assert told in str(caught.value)


def test_nothing_of_the_content_is_told() -> None:
    """The message goes into logs: a key that was pasted into the file must not."""
    pasted = {"id": "ask_secret", "name": "", "sha256": "ask_secret", "scopes": ["ask_secret"]}

    with pytest.raises(UnreadableError) as caught:
        parse_keys(json.dumps({"version": 1, "keys": [pasted]}).encode())

    assert "ask_secret" not in str(caught.value)
