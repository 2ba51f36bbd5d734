"""A real Prometheus that scrapes services of a test by the rules and alerts that are shipped."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import yaml

from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "deploy" / "prometheus"


def promtool() -> Path:
    """The installed promtool, or one that is fetched; its server lies beside it."""
    found = subprocess.run([ROOT / "scripts" / "get-promtool"], check=True, capture_output=True, text=True)
    return Path(found.stdout.strip())


class Prometheus:
    """The shipped configuration with other targets, looked at every second. It ends with ``close``."""

    def __init__(self, folder: Path, targets: Sequence[str]) -> None:
        config = yaml.safe_load((SHIPPED / "prometheus.yml").read_text(encoding="utf-8"))
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s", "scrape_timeout": "1s"}
        config["rule_files"] = [str(SHIPPED / name) for name in config["rule_files"]]
        (job,) = config["scrape_configs"]
        job["static_configs"] = [{"targets": list(targets)}]
        file = folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        self._folder = folder
        self._output = (folder / "prometheus.log").open("w", encoding="utf-8")
        address = f"127.0.0.1:{_free_port()}"
        self._process = subprocess.Popen(
            [
                promtool().with_name("prometheus"),
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address={address}",
            ],
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        self._client = httpx.Client(base_url=f"http://{address}", timeout=10.0)
        wait_until("Prometheus is ready", self._is_ready, seconds=30)

    def value(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query."""
        response = self._client.get("/api/v1/query", params={"query": expression})
        assert response.status_code == 200, (expression, response.text)
        samples: list[dict[str, Any]] = response.json()["data"]["result"]
        return samples

    def firing(self) -> set[str]:
        """Names of the alerts that fire now."""
        alerts = self._client.get("/api/v1/alerts").json()["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def close(self) -> None:
        """End it."""
        self._client.close()
        self._process.kill()
        self._process.wait()
        self._output.close()

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, (self._folder / "prometheus.log").read_text(encoding="utf-8")
        try:
            return self._client.get("/-/ready").is_success
        except httpx.TransportError:
            return False


def _free_port() -> int:
    """Prometheus does not tell which port it got, so it is told one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
