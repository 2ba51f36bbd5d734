from __future__ import annotations

import re
from pathlib import Path

from agent_service.config import Settings
from agent_service.core.errors import CancelledByCallerError
from agent_service.telemetry.error_codes import FAULTS
from agent_service.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[2]


def _read(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_every_setting_is_documented_as_it_is() -> None:
    """The table is the one that the code gives: each name, default, what is allowed, what it means."""
    rows = [f"| `{row.name}` | {row.default} | {row.allowed} | {row.meaning} |" for row in Settings.table()]
    documented = [line for line in _read("settings.md").splitlines() if re.match(r"\| `[A-Z_]+` \|", line)]
    assert documented == rows


def test_every_error_code_is_documented() -> None:
    """Callers decide by the code. The one that nobody is answered with stands with the metrics."""
    undocumented = {code for code in FAULTS if f"`{code}`" not in _read("api.md")}
    assert undocumented == {CancelledByCallerError.code}
    assert f"`{CancelledByCallerError.code}`" in _read("operations.md")


def test_every_error_code_has_a_remedy() -> None:
    """Whoever is woken by one finds it under "Troubleshooting", with what to do."""
    rows = _read("operations.md").partition("## Troubleshooting")[2].partition("## Runbooks")[0]
    assert {code for code in FAULTS if f"`{code}`" not in rows} - {CancelledByCallerError.code} == set()


def test_every_metric_is_documented() -> None:
    """Each stands in the table with its labels' names, and the table has no other."""
    metrics = Metrics(
        pool_size=int,
        pool_in_use=int,
        pool_waiting=int,
        pool_abandoned=int,
        breaker_state=lambda: "closed",
        upstreams=tuple,
        version="1",
        dspy_version="1",
    )
    documented = re.findall(r"^\| `(\w+)(?:\{[\w, ]+\})?` \|", _read("operations.md"), re.MULTILINE)
    assert sorted(documented) == sorted(metrics.names())
