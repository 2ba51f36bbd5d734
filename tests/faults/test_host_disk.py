"""The disk is full, read-only, or the file on it is damaged (rows H1, H2 and H7 of the fault matrix)."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.faults.at_rest import PROGRAMS, assert_at_rest, assert_sound, questions
from tests.processes import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COMMITS_FAILED = 'agent_memory_operations_total{backend="sqlite",operation="commit",outcome="error"}'
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may do this to a file system")
SMALL_DISK_BYTES = 2**20


def _assert_answered_unstored(service: Service, question: str) -> None:
    response = service.ask(question)
    assert (response.status_code, response.json()["stored"]) == (200, False)


def test_a_file_that_may_not_grow_costs_the_memory_and_not_the_answers(
    serve: Callable[..., Service], tmp_path: Path
) -> None:
    """While writing fails each answer says ``stored`` false, reading goes on, and afterwards all is well."""
    service = serve(**PROGRAMS)
    assert service.ask("before").json()["stored"] is True
    process = psutil.Process(service.pid)
    log_bytes = (tmp_path / "conversations.db-wal").stat().st_size
    process.rlimit(resource.RLIMIT_FSIZE, (log_bytes, resource.RLIM_INFINITY))

    for _ in range(20):
        _assert_answered_unstored(service, "meanwhile")

    assert service.metric(COMMITS_FAILED) == 20
    assert questions(service) == ["before"]
    assert service.client.get("/api/v1/ready").status_code == 200
    process.rlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert_at_rest(service)
    assert service.ask("after").json()["stored"] is True
    assert questions(service) == ["before", "after"]
    assert_sound(tmp_path / "conversations.db")


def _done(*command: str) -> bool:
    """Whether the system has this command and lets us do it."""
    found = shutil.which(command[0])
    return found is not None and subprocess.run([found, *command[1:]], check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    if not _done("mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_BYTES}", "small", str(folder)):
        pytest.skip("mounting is not permitted here")
    yield folder
    assert _done("umount", str(folder))


def _fill(disk: Path) -> Path:
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 4096)
            except OSError:
                return ballast


@AS_ROOT
def test_a_full_disk_costs_the_memory_and_not_the_answers(
    small_disk: Path, serve: Callable[..., Service]
) -> None:
    """The same with a disk that has no byte left; queries are stored again once it has."""
    path = small_disk / "conversations.db"
    service = serve(**PROGRAMS, MEMORY_PATH=str(path))
    assert service.ask("before").json()["stored"] is True
    ballast = _fill(small_disk)
    service.client.get("/api/v1/live")
    stored = 1
    while service.ask("filling what the log has left").json()["stored"]:
        stored += 1
        assert stored < 100

    for _ in range(20):
        _assert_answered_unstored(service, "meanwhile")

    assert service.metric(COMMITS_FAILED) == 21
    assert len(questions(service)) == stored
    ballast.unlink()
    assert_at_rest(service)
    assert "meanwhile" not in questions(service)
    assert service.ask("after").json()["stored"] is True
    assert_sound(path)
    service.signal(signal.SIGTERM)
    assert service.status() == 0


@AS_ROOT
def test_a_file_that_turns_read_only_costs_the_memory_and_not_the_answers(
    serve: Callable[..., Service], tmp_path: Path
) -> None:
    """As when a file system is remounted after an error: answers go on, stored again when writing works."""
    service = serve(**PROGRAMS)
    assert service.ask("before").json()["stored"] is True
    files = [str(tmp_path / f"conversations.db{suffix}") for suffix in ("", "-wal")]
    if not _done("chattr", "+i", *files):
        pytest.skip("this file system knows no immutable files")
    try:
        for _ in range(20):
            _assert_answered_unstored(service, "meanwhile")
        assert questions(service) == ["before"]
    finally:
        assert _done("chattr", "-i", *files)
    assert_at_rest(service)
    assert questions(service) == ["before"]
    assert_sound(tmp_path / "conversations.db")


def _start_without_rights(folder: Path, path: Path) -> subprocess.CompletedProcess[str]:
    """Start the service so that permissions count for it, for root too."""
    command = [sys.executable, "-m", "agent_service", "serve"]
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("permissions do not count for root, and there is no setpriv to change that")
        capabilities = "-dac_override,-dac_read_search"
        command = [setpriv, f"--bounding-set={capabilities}", f"--inh-caps={capabilities}", *command]
    environ = {
        "PATH": os.environ["PATH"],
        "SERVER_PORT": "0",
        "SERVER_HOST": "127.0.0.1",
        "LOG_FORMAT": "json",
    }
    environ["MEMORY_PATH"] = str(path)
    return subprocess.run(
        command, env=environ, cwd=folder, capture_output=True, text=True, timeout=30, check=False
    )


def _critical_lines(output: str) -> list[str]:
    lines = [line for line in output.splitlines() if line.startswith("{")]
    return [line for line in lines if json.loads(line)["level"] == "critical"]


@pytest.mark.parametrize("missing", [True, False], ids=["folder", "file"])
def test_the_start_is_refused_where_nothing_can_be_written(tmp_path: Path, *, missing: bool) -> None:
    """One line names the path and the reason; the status is 1."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    path = folder / "conversations.db"
    if not missing:
        path.touch(0o444)
    folder.chmod(0o555)

    ended = _start_without_rights(tmp_path, path)

    folder.chmod(0o755)
    assert ended.returncode == 1
    [line] = _critical_lines(ended.stdout + ended.stderr)
    assert str(path) in line
    assert list(folder.iterdir()) == ([] if missing else [path])
    assert "Traceback" not in ended.stdout + ended.stderr


def _overwritten(file: bytes, *, start: int, end: int) -> bytes:
    return file[:start] + bytes(255 - byte for byte in file[start:end]) + file[end:]


@pytest.fixture(scope="module")
def sound_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a service that stopped in order leaves behind."""
    folder = tmp_path_factory.mktemp("sound")
    service = Service(folder, **PROGRAMS)
    try:
        service.ask("hello there")
        service.signal(signal.SIGTERM)
        assert service.status() == 0
    finally:
        service.close()
    return (folder / "conversations.db").read_bytes()


@pytest.mark.parametrize("damage", ["header", "pages", "cut", "not a database"])
def test_a_damaged_file_is_refused_named_and_left_as_it_is(
    serve: Callable[..., Service], tmp_path: Path, sound_file: bytes, damage: str
) -> None:
    """It is not replaced by an empty one: whoever can mend it finds every byte where it was."""
    path, file = tmp_path / "conversations.db", sound_file
    damaged = {
        "header": _overwritten(file, start=0, end=100),
        "pages": _overwritten(file, start=4096, end=len(file)),
        "cut": file[: len(file) // 2],
        "not a database": b"my diary\n" * 1000,
    }[damage]
    path.write_bytes(damaged)

    refused = serve(**PROGRAMS)

    assert refused.status() == 1
    [line] = _critical_lines(refused.output)
    assert str(path) in line
    assert "Traceback" not in refused.output
    assert path.read_bytes() == damaged
    assert sorted(tmp_path.glob("conversations.db*")) == [path]
