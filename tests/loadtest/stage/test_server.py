from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from agent_service.loadtest.client import Endpoint
from agent_service.loadtest.stage.process import ServerProcess, StageError
from agent_service.loadtest.stage.server import Server

if TYPE_CHECKING:
    from pathlib import Path

ENDPOINT = Endpoint("http://127.0.0.1:1/", lambda _: {})


def test_one_that_was_not_started_here_has_no_usage() -> None:
    """Its processes are not ours to see, nor on this machine perhaps."""
    assert Server("service", ENDPOINT).usage() is None


def test_one_that_has_ended_is_an_error_with_its_last_word(tmp_path: Path) -> None:
    """What is measured of a server that crashed is worth nothing."""
    command = [sys.executable, "-c", "print('out of memory', flush=True); input()"]
    process = ServerProcess("service", command, environ=os.environ, folder=tmp_path)
    try:
        with pytest.raises(StageError, match="did not start"):
            process.url()
        with pytest.raises(StageError, match="service has ended: EOFError"):
            Server("service", ENDPOINT, process).usage()
    finally:
        process.close()
