"""How a service must look after whatever was done to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.processes import Service


def log_lines(service: Service) -> list[dict[str, Any]]:
    """Every line the process wrote; each must be one JSON object."""
    lines = []
    for line in list(service.lines):
        parsed = json.loads(line)
        assert isinstance(parsed, dict), line
        lines.append(parsed)
    return lines


def assert_unharmed(service: Service) -> None:
    """It answers the next query, no slot is taken, nothing failed inside, its log is whole."""
    assert service.ask("What is 2+2?", user_id="after").status_code == 200
    assert service.metric("agent_pool_in_use") == 0
    assert service.metric('agent_errors_total{error="internal_error"}') == 0
    assert [line for line in log_lines(service) if "exception" in line] == []
    assert "Traceback" not in service.output
