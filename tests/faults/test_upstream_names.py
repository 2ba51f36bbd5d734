"""An upstream whose name cannot be resolved (row U11)."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.row import HEALTHY, INJECTIONS, Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.processes import Service, Simulator

ASSETS = Path(__file__).parent / "assets"
COMPILER = shutil.which("cc") or shutil.which("gcc")
THRESHOLD = 5
AT_ONCE = 4

SETTINGS = {
    "AGENT_MAX_RETRIES": "0",
    "AGENT_LM_TIMEOUT_SECS": "0.5",
    "CIRCUIT_BREAKER_THRESHOLD": str(THRESHOLD),
    "CIRCUIT_BREAKER_TIMEOUT_SECS": "0.5",
}


class Resolver:
    """What the service's name server says of the name model.test."""

    def __init__(self, folder: Path) -> None:
        self._library = folder / "fake_dns.so"
        self._mode = folder / "mode"
        assert COMPILER, "the C library's resolver is replaced by a compiled one: install gcc"
        source = ASSETS / "fake_dns.c"
        subprocess.run([COMPILER, "-shared", "-fPIC", "-o", self._library, source, "-ldl"], check=True)

    def says(self, mode: str) -> None:
        """From now on: ok, fail or slow."""
        written = self._mode.with_suffix(".new")
        written.write_text(mode, encoding="ascii")
        written.replace(self._mode)

    def settings(self) -> dict[str, str]:
        """What makes a service ask it."""
        return {"LD_PRELOAD": str(self._library), "FAKE_DNS": str(self._mode)}


@pytest.mark.parametrize(("mode", "outcome"), [("fail", "error"), ("slow", "timeout")])
def test_a_name_that_does_not_resolve_is_the_upstreams_failure(
    serve: Callable[..., Service], tmp_path: Path, upstream: Simulator, mode: str, outcome: str
) -> None:
    """Failing at once or past the limit of a call, it opens the breaker; probes answer all the while."""
    resolver = Resolver(tmp_path)
    resolver.says(mode)
    settings = upstream.settings(**SETTINGS, **resolver.settings())
    settings["AGENT_API_BASE"] = upstream.base_url.replace("127.0.0.1", "model.test")
    row = Row(serve(**settings), upstream)

    told = row.ask_all([HEALTHY] * 2 * INJECTIONS, at_once=AT_ONCE)

    started = time.monotonic()
    assert row.service.client.get("/api/v1/live").status_code == 200
    assert time.monotonic() - started < 0.1
    assert {one.error for one in told} == {(502, "upstream_error"), (503, "circuit_breaker_open")}
    assert all(one.seconds < 1.5 for one in told)
    assert THRESHOLD <= row.lm_calls(outcome) <= THRESHOLD + 2 * AT_ONCE
    assert row.calls() == []
    assert row.breaker() != 0
    resolver.says("ok")
    row.comes_to_rest()


def test_a_name_that_does_not_exist_is_told_in_time(
    serve: Callable[..., Service], upstream: Simulator
) -> None:
    """Whatever the resolver of this machine does with it, the caller is told within the limit of one call."""
    settings = upstream.settings(**SETTINGS)
    settings["AGENT_API_BASE"] = "http://does-not-exist.invalid/v1"
    row = Row(serve(**settings))

    told = row.ask_all([HEALTHY] * INJECTIONS, at_once=AT_ONCE)

    assert {one.error for one in told} == {(502, "upstream_error"), (503, "circuit_breaker_open")}
    assert all(one.seconds < 1.5 for one in told)
    assert row.breaker() != 0
    assert row.service.metric("agent_pool_in_use") == 0
    assert row.service.client.get("/api/v1/ready").status_code == 200
