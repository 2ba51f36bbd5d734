"""Image, compose file and manifests agree with the code: ports, paths, names of settings, times."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent_service.api.openapi import openapi_document
from agent_service.api.query import ApiOptions
from agent_service.config import Settings
from agent_service.server.process import STOP_SECONDS
from agent_service.server.workers.supervisor import LATER_SECONDS
from tests.deploy.manifests import (
    COMPOSE,
    DOCKERFILE,
    RENDERED,
    container,
    image_variables,
    one,
    pod,
    settings,
)
from tests.deploy.prometheus import ROOT, SHIPPED

EVERY = pytest.mark.parametrize("name", RENDERED)
NAMES = {row.name for row in Settings.table()}
NOT_SETTINGS = {"PATH", "HOME", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
COMPOSED = COMPOSE["services"]["agent-service"]


def _load(variables: dict[str, Any]) -> Settings:
    return Settings.load({name: str(value) for name, value in variables.items()}, dotenv_path=Path("none"))


@EVERY
def test_names_and_values_of_a_cluster_are_settings(name: str) -> None:
    """A misspelt variable would be ignored in silence."""
    assert settings(name).keys() <= NAMES
    _load(settings(name))


def test_names_and_values_of_image_compose_and_secret_are_settings() -> None:
    """The same for the others."""
    template = (ROOT / "deploy/kubernetes/base/secret.template.yaml").read_text(encoding="utf-8")
    for variables in (
        {name: value for name, value in image_variables().items() if name not in NOT_SETTINGS},
        COMPOSED["environment"],
        yaml.safe_load(template)["stringData"],
    ):
        assert variables.keys() <= NAMES
        _load({"AGENT_MODEL": "offline", **variables})


@EVERY
def test_ports_of_a_cluster_are_the_one_that_is_listened_on(name: str) -> None:
    """From the service's port by its name to the process."""
    (port,) = container(name)["ports"]
    assert port["containerPort"] == _load(settings(name)).server_port
    assert [p["targetPort"] for p in one(name, "Service")["spec"]["ports"]] == [port["name"]]
    (ingress,) = one(name, "NetworkPolicy")["spec"]["ingress"]
    assert ingress["ports"] == [{"port": port["name"]}]


def test_ports_of_image_and_compose_are_the_one_that_is_listened_on() -> None:
    """Also where nobody sets any, and where Prometheus looks."""
    port = str(_load({}).server_port)
    assert image_variables()["SERVER_PORT"] == port
    assert re.findall(r"^EXPOSE (.*)", DOCKERFILE, re.MULTILINE) == [port]
    (published,) = COMPOSED["ports"]
    assert published == f"{port}:{port}"
    (job,) = yaml.safe_load((SHIPPED / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    (target,) = job["static_configs"]
    host, _, scraped = target["targets"][0].partition(":")
    assert (scraped, f"{host}:host-gateway") == (port, COMPOSE["services"]["prometheus"]["extra_hosts"][0])


def test_every_path_that_is_asked_exists() -> None:
    """Probes of the clusters, the image's health check, and Prometheus."""
    served = {path for path, methods in openapi_document(ApiOptions())["paths"].items() if "get" in methods}
    asked = set(re.findall(r"/api/v1/[\w/-]+", DOCKERFILE))
    for name in RENDERED:
        probes = [container(name)[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")]
        assert [probe["httpGet"]["path"].rpartition("/")[2] for probe in probes] == ["live", "live", "ready"]
        asked |= {probe["httpGet"]["path"] for probe in probes}
        asked |= set(re.findall(r"/api/v1/[\w/-]+", RENDERED[name].read_text(encoding="utf-8")))
    asked |= set(re.findall(r"/api/v1/[\w/-]+", (SHIPPED / "prometheus.yml").read_text(encoding="utf-8")))
    assert asked == {"/api/v1/live", "/api/v1/ready", "/api/v1/metrics"}
    assert asked <= served


def _leave_seconds(process: Settings) -> float:
    """From SIGTERM to the end, by the slower way: with workers, whose supervisor waits a little for them."""
    return process.shutdown_delay_secs + process.shutdown_grace_secs + STOP_SECONDS + LATER_SECONDS


@EVERY
def test_a_cluster_waits_as_long_as_a_process_needs_to_leave(name: str) -> None:
    """The kernel's kill comes after preStop, delay, the grace of queries in flight, and the end itself."""
    process = _load(settings(name))
    command, seconds = container(name)["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    assert pod(name)["terminationGracePeriodSeconds"] > int(seconds) + _leave_seconds(process)
    assert process.shutdown_grace_secs >= process.agent_request_timeout_secs


def test_compose_waits_as_long_as_a_process_needs_to_leave() -> None:
    """The same without preStop."""
    process = _load(COMPOSED["environment"])
    period = float(COMPOSED["stop_grace_period"].removesuffix("s"))
    assert period > _leave_seconds(process)


@EVERY
def test_the_user_is_the_image_s(name: str) -> None:
    """Files of the image belong to it."""
    identity = pod(name)["securityContext"]
    assert re.findall(r"^USER (.*)", DOCKERFILE, re.MULTILINE) == [
        f"{identity['runAsUser']}:{identity['runAsGroup']}"
    ]


@pytest.mark.parametrize("name", ["helm", "kubernetes-production"])
def test_replicas_are_added_before_the_pool_is_full(name: str) -> None:
    """By a metric that exists; at the pool's size queries would be refused before it is noticed."""
    in_flight, cpu = one(name, "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert f"| `{in_flight['pods']['metric']['name']}` |" in (ROOT / "docs/operations.md").read_text("utf-8")
    assert 0 < int(in_flight["pods"]["target"]["averageValue"]) < _load(settings(name)).agent_pool_size
    assert cpu["resource"]["name"] == "cpu"


def test_compose_publishes_what_has_no_password_on_loopback_only() -> None:
    """Redis takes anybody, and Grafana's password is a default."""
    ports = {name: service["ports"] for name, service in COMPOSE["services"].items()}
    assert ports == {
        "redis": ["127.0.0.1:6379:6379"],
        "prometheus": ["127.0.0.1:9090:9090"],
        "grafana": ["127.0.0.1:3001:3000"],
        "agent-service": ["3000:3000"],
    }
    assert COMPOSED["profiles"] == ["service"]


def test_compose_mounts_what_is_there_where_it_is_looked_for() -> None:
    """Docker makes an empty folder of a path that does not exist."""
    mounted: dict[str, str] = {}
    for service in COMPOSE["services"].values():
        for volume in service["volumes"]:
            source, target = volume.split(":")[:2]
            assert (ROOT / source).is_dir() if source.startswith(".") else source in COMPOSE["volumes"]
            mounted[target] = source
    grafana = COMPOSE["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    folder, _, file = grafana.rpartition("/")
    provider = yaml.safe_load(
        (ROOT / "deploy/grafana/provisioning/dashboards/agent-service.yml").read_text(encoding="utf-8")
    )
    assert provider["providers"][0]["options"]["path"] == folder
    assert (ROOT / mounted[folder] / file).is_file()
    assert image_variables()["MEMORY_PATH"].rpartition("/")[0] in mounted


def test_compose_keeps_the_service_as_tight_as_a_cluster_does() -> None:
    """Nothing is written but conversations and temporary files, and no right can be won."""
    assert COMPOSED["read_only"] is True
    assert COMPOSED["tmpfs"] == ["/tmp"]  # noqa: S108 - a mount in the container
    assert COMPOSED["cap_drop"] == ["ALL"]
    assert COMPOSED["security_opt"] == ["no-new-privileges:true"]
    images = [service["image"] for name, service in COMPOSE["services"].items() if name != "agent-service"]
    assert [image for image in images if not re.fullmatch(r"[\w/]+:v?\d[\w.-]+", image)] == []
