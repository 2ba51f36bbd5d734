from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from agent_service.cli.main import main

if TYPE_CHECKING:
    from click.testing import Result


def _bench(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["bench", *arguments])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--concurrency", "0"], "'0' is not numbers above 0 with commas between them"),
        (["--concurrency", "1,x"], "'1,x' is not numbers above 0"),
        (["--rate", "nan"], "'nan' is not numbers above 0"),
        (["--rate", "5", "--concurrency", "3"], "--concurrency and --rate exclude each other"),
        (["--url", "http://x", "--model", "m"], "--url and --model exclude each other"),
        (["--url", "http://x", "--compare", "acall"], "--url and --compare exclude each other"),
        (["--url", "http://x", "--pin"], "--url and --pin exclude each other"),
        (["--url", "http://x", "--simulators", "2"], "--url and --simulators exclude each other"),
        (["--model", "m", "--latency", "3"], "--model and --latency exclude each other"),
        (["--plot", "x.txt"], "--plot writes .png, .svg, .pdf, not x.txt"),
        (["--duration", "0"], "--duration"),
        (["--compare", "mlflow"], "--compare"),
    ],
)
def test_wrong_options_are_wrong_usage(arguments: list[str], said: str) -> None:
    """Exit status 2 and what is wrong, before anything is started."""
    done = _bench(*arguments)
    assert done.exit_code == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    ("missing", "arguments"),
    [("psutil", []), ("matplotlib", ["--plot", "x.png"]), ("fastapi", ["--compare", "tutorial"])],
)
def test_what_is_not_installed_is_named_with_its_extra(
    missing: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that can be pasted."""
    monkeypatch.setitem(sys.modules, missing, None)
    done = _bench(*arguments)
    assert done.exit_code == 1
    assert f"this needs {missing}: pip install 'production-agent-service[bench]'" in done.stderr


def test_what_is_not_used_need_not_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures and comparisons ask for more than a measurement does."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    done = _bench("--url", "http://127.0.0.1:1")
    assert "does not answer: connection_failed" in done.stderr


def test_a_url_where_nothing_listens_is_a_failure() -> None:
    """Exit status 1 and one line."""
    url = "http://127.0.0.1:1"
    done = _bench("--url", url)
    assert done.exit_code == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert errors == [
        f"Error: service at {url}/api/v1/query does not answer: connection_failed: ClientConnectorError"
    ]


def test_the_help_says_what_latency_means_at_a_rate() -> None:
    """Whoever reads a percentile must know from when it counts."""
    text = " ".join(_bench("--help").stdout.split())
    assert "Latency counts from the time a query was meant to be sent" in text
    assert "no coordinated omission" in text
    assert "130 stopped by Ctrl-C" in text
