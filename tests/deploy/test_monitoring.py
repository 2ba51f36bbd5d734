"""Rules, alerts and dashboard are valid, ask only for metrics that exist, and tell the truth."""

from __future__ import annotations

import json
import re
import subprocess
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from tests.deploy.prometheus import ROOT, SHIPPED, Prometheus, promtool
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.processes import Service, Simulator

DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboards/agent-service.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ALERTS = yaml.safe_load((SHIPPED / "alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
_SILENT_IN_HEALTH = {"Errors by code", "Store operations that failed"}
"""Panels that show nothing while nothing is wrong."""


def test_the_alerts_do_what_their_own_tests_say() -> None:
    """Prometheus' own tool evaluates the rules against the series of alerts_test.yml."""
    for command in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run(
            [promtool(), *command], cwd=SHIPPED, capture_output=True, text=True, check=False
        )

        assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_tested_and_has_a_runbook() -> None:
    """Whoever is woken finds a page under the alert's own name."""
    tested = (SHIPPED / "alerts_test.yml").read_text(encoding="utf-8")
    headings = re.findall(
        r"^#+ (\w+)$", (ROOT / "docs/operations.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    for alert in ALERTS:
        name = alert["alert"]
        assert tested.count(f"alertname: {name}") >= 2, name
        assert alert["annotations"]["runbook_url"] == f"docs/operations.md#{name.lower()}"
        assert name in headings


def test_the_dashboard_is_provisioned_with_its_data_source() -> None:
    """Every panel asks the data source that is provisioned under the same uid."""
    provisioning = ROOT / "deploy/grafana/provisioning"
    sources = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text(encoding="utf-8"))
    (uid,) = [source["uid"] for source in sources["datasources"]]

    assert {panel["datasource"]["uid"] for panel in PANELS} == {uid}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)


@pytest.fixture
def watched(serve: Callable[..., Service], simulator: Simulator, tmp_path: Path) -> Any:
    """A service that works for a few seconds while a Prometheus looks at it."""
    service = serve(
        **simulator.settings(
            AGENT_MAX_RETRIES="0", CIRCUIT_BREAKER_THRESHOLD="2", CIRCUIT_BREAKER_TIMEOUT_SECS="600"
        )
    )
    prometheus = Prometheus(tmp_path, [service.url().removeprefix("http://")])
    yield service, prometheus
    prometheus.close()


def _of_this_run(expression: str) -> str:
    return expression.replace("$__rate_interval", "10s").replace("$job", ".*").replace("$instance", ".*")


def test_every_panel_shows_something(watched: tuple[Service, Prometheus]) -> None:
    """No expression of the dashboard is wrong or asks for a series that the service does not have."""
    service, prometheus = watched
    end = time.monotonic() + 6
    while time.monotonic() < end:
        assert service.ask("What is 2+2?").status_code == 200

    for panel in PANELS:
        for target in panel["targets"]:
            expression = _of_this_run(target["expr"])
            if panel["title"] in _SILENT_IN_HEALTH:
                assert prometheus.value(expression) == [], expression
                continue
            wait_until(f"{panel['title']}: {expression}", lambda e=expression: prometheus.value(e) != [])  # type: ignore[misc] # bound at once

    (sample,) = prometheus.value('sum(agent_requests_total{status="success"})')
    assert float(sample["value"][1]) > 0
    wait_until("rules are recorded", lambda: prometheus.value("job:agent_latency_seconds:mean5m > 0") != [])


def test_the_breaker_alert_fires_and_resolves(
    watched: tuple[Service, Prometheus], simulator: Simulator
) -> None:
    """A provider that fails wakes somebody within a minute, and leaves them in peace when it is back."""
    service, prometheus = watched
    assert service.ask("What is 2+2?").status_code == 200
    wait_until("the service is scraped", lambda: prometheus.value('up{job="agent-service"} == 1') != [])
    assert prometheus.firing() == set()
    simulator.behave(faults=[{"kind": "500"}])
    for _ in range(4):
        assert service.ask("What is 2+2?").status_code in {502, 503}

    wait_until("the alert fires", lambda: "AgentBreakerOpen" in prometheus.firing(), seconds=60)

    simulator.heal()
    httpx.post(f"{service.url()}/api/v1/circuit-breaker/reset").raise_for_status()
    assert service.ask("What is 2+2?").status_code == 200
    wait_until("the alert resolves", lambda: "AgentBreakerOpen" not in prometheus.firing(), seconds=15)
    assert prometheus.value('circuit_breaker_openings_total{upstream="openai/gpt-4o-mini"} == 1') != []
