from __future__ import annotations

import os
import resource
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from agent_service.loadtest.stage.process import (
    ServerProcess,
    StageError,
    allow_many_connections,
    last_word,
    on_cores,
)

if TYPE_CHECKING:
    from pathlib import Path

LISTENS = "import time; print('INFO: running on http://0.0.0.0:81 (Ctrl-C)', flush=True); time.sleep(60)"
FAILS = "print('one', flush=True); raise SystemExit('no such program')"


def _start(code: str, folder: Path, *, cores: tuple[int, ...] = ()) -> ServerProcess:
    return ServerProcess("it", [sys.executable, "-c", code], environ={}, folder=folder, cores=cores)


def test_it_says_where_it_listens_and_is_gone_when_closed(tmp_path: Path) -> None:
    """The address is one that can be connected to."""
    server = _start(LISTENS, tmp_path)
    try:
        assert server.url() == "http://127.0.0.1:81"
    finally:
        server.close()
    assert not psutil.pid_exists(server.pid)


def test_one_that_does_not_start_is_an_error_with_its_last_word(tmp_path: Path) -> None:
    """In one line."""
    server = _start(FAILS, tmp_path)
    with pytest.raises(StageError, match=r"^it did not start: no such program$"):
        server.url()
    server.close()


def test_signals_of_the_terminal_do_not_reach_it(tmp_path: Path) -> None:
    """Ctrl-C ends the load first; the servers are stopped in order after it."""
    server = _start(LISTENS, tmp_path)
    try:
        assert os.getpgid(server.pid) != os.getpgid(0)
    finally:
        server.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="cores are chosen on Linux only")
def test_it_runs_on_its_cores_from_the_start(tmp_path: Path) -> None:
    """And whoever started it stays where it was."""
    before = os.sched_getaffinity(0)
    core = max(before)
    server = _start(LISTENS, tmp_path, cores=(core,))
    try:
        assert os.sched_getaffinity(server.pid) == {core}
        assert os.sched_getaffinity(0) == before
    finally:
        server.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="cores are chosen on Linux only")
def test_without_cores_nothing_is_chosen() -> None:
    """No --pin, no difference."""
    before = os.sched_getaffinity(0)
    with on_cores(()):
        assert os.sched_getaffinity(0) == before


def test_many_connections_are_allowed_for() -> None:
    """As many open files as the machine lets us, and never fewer than before."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = min(before, 256)
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
    try:
        allow_many_connections()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (max(low, min(65_536, hard)), hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


@pytest.mark.parametrize(
    ("output", "word"),
    [
        ("a\nb\n\n", "b"),
        ("", "it said nothing"),
        ('{"event": "nope cannot be imported"}', "nope cannot be imported"),
        ('{"event": "failed", "exception": [{"type": "E", "message": "m"}]}', "failed; E: m"),
        ('{"no": "event"}', '{"no": "event"}'),
        ("[1]", "[1]"),
    ],
)
def test_the_last_word_is_one_line(output: str, word: str) -> None:
    """A log line is told by its event."""
    assert last_word(output) == word
