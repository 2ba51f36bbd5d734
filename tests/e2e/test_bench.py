"""``agent-service bench`` in real processes, each kind of load once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psutil

from tests.processes import ServerProcess, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.processes import Service


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agent_service", "bench", "--warm-up", "0", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def _results(told: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {result["server"]: result for result in told["results"]}


def test_a_closed_loop_is_measured_and_drawn(tmp_path: Path) -> None:
    """JSON alone on stdout when it is asked for there; the simulated model saw three calls a query."""
    done = _run(tmp_path, "--queries", "12", "--concurrency", "1,3", "--json", "-", "--plot", "p.svg")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    one, three = told["results"]
    assert (one["concurrency"], three["concurrency"]) == (1, 3)
    for result in (one, three):
        assert (result["queries"], result["answered"], result["errors"]) == (12, 12, {})
        assert result["lm_calls"] == 36
        assert 0 < result["latency_ms"]["p50"] <= result["latency_ms"]["p99"] <= result["latency_ms"]["max"]
        assert result["cpu_ms_per_query"] > 0
        assert result["rss_bytes"]["after"] > 10_000_000
        assert 0 < result["generator_busy"] < 1
    assert "3 clients  service" in done.stderr
    assert "<!-- service p95 -->" in (tmp_path / "p.svg").read_text("utf-8")


def test_an_open_loop_is_measured_and_drawn(tmp_path: Path) -> None:
    """As many queries as its rate and time make, and calls that take their latency."""
    done = _run(
        tmp_path,
        *("--rate", "10", "--spacing", "even", "--duration", "1.5", "--latency", "20"),
        *("--json", "told.json", "--plot", "p.png"),
    )
    assert done.returncode == 0, done.stderr
    (result,) = json.loads((tmp_path / "told.json").read_text("utf-8"))["results"]
    assert (result["load"], result["rate_per_second"], result["queries"]) == ("open", 10, 15)
    assert result["latency_ms"]["p50"] >= 60
    assert "10 q/s  service" in done.stdout
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_program_is_compared_under_fastapi(tmp_path: Path) -> None:
    """In turns, with the same calls of the model, and the ratio of each."""
    done = _run(
        tmp_path,
        *("--compare", "tutorial", "--compare", "acall", "--queries", "6", "--rounds", "2"),
        *("--concurrency", "2", "--simulators", "2", "--json", "-"),
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    results = _results(told)
    assert list(results) == ["service", "tutorial", "acall"]
    for result in results.values():
        assert (result["answered"], result["lm_calls"]) == (6, 18)
        assert len(result["throughput_of_rounds_per_second"]) == 2
    assert [(ratio["baseline"], ratio["throughput"] > 0) for ratio in told["ratios"]] == [
        ("tutorial", True),
        ("acall", True),
    ]
    assert "the service does" in done.stderr


def test_a_service_that_runs_already_is_measured_until_ctrl_c(
    serve: Callable[..., Service], tmp_path: Path
) -> None:
    """Exit status 130 with the figures until then; what cannot be known of it is null."""
    service = serve()
    arguments = ["bench", "--url", service.url(), "--concurrency", "2", "--duration", "60", "--warm-up", "0"]
    bench = ServerProcess([*arguments, "--json", "told.json"], environ=dict(os.environ), folder=tmp_path)
    try:
        wait_until("queries", lambda: service.metric('agent_requests_total{status="success"}') > 5)
        bench.signal(signal.SIGINT)
        assert bench.status() == 130
    finally:
        bench.close()
    told = json.loads((tmp_path / "told.json").read_text("utf-8"))
    (result,) = told["results"]
    assert told["interrupted"] is True
    assert result["answered"] > 0
    assert (result["cpu_ms_per_query"], result["rss_bytes"]["before"]) == (None, None)
    assert result["lm_calls"] >= 2 * result["answered"]
    assert "2 clients  service" in bench.output


def test_ctrl_c_leaves_no_process_behind(tmp_path: Path) -> None:
    """Nor before anything was measured."""
    bench = ServerProcess(["bench", "--duration", "60"], environ=dict(os.environ), folder=tmp_path)
    try:
        started = psutil.Process(bench.pid)
        wait_until("a model and a service", lambda: len(started.children()) == 2, seconds=60)
        children = started.children()
        bench.signal(signal.SIGINT)
        assert bench.status() == 130
    finally:
        bench.close()
    assert not any(child.is_running() for child in children)


def test_a_service_that_does_not_start_is_told_in_one_line(tmp_path: Path) -> None:
    """With its reason."""
    done = _run(tmp_path, "--program", "no_such_module:program")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Error: service did not start: no_such_module cannot be imported" in done.stderr
    assert "Traceback" not in done.stderr
