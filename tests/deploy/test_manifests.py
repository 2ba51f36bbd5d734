"""What a cluster is given is valid, as restricted as it says, and the same by both ways."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import jsonschema
import pytest
import yaml

from agent_service import __version__
from agent_service.access.key_file import parse_keys
from tests.deploy.manifests import RENDERED, Document, container, documents, one, pod, pods
from tests.deploy.prometheus import ROOT, SHIPPED

CHART = ROOT / "deploy/helm/agent-service"
BASE = ROOT / "deploy/kubernetes/base"
KEYS = ROOT / "deploy/kubernetes/components/keys"
EVERY = pytest.mark.parametrize("name", RENDERED)
FOR_PRODUCTION = pytest.mark.parametrize("name", ["helm", "kubernetes-production"])


def _values() -> Document:
    values: Document = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    return values


def test_what_is_rendered_is_from_the_sources_as_they_are() -> None:
    """The other tests look at deploy/rendered, so it must not be older than what it was rendered from."""
    assert set(RENDERED) == {"helm", "kubernetes-dev", "kubernetes-production"}
    subprocess.run([sys.executable, str(ROOT / "scripts/render-deploy"), "--check"], check=True)


@pytest.mark.parametrize("version", ["1.29.0", "1.37.0"])
def test_every_resource_is_valid(version: str) -> None:
    """The cluster's own schemas, of the oldest and the newest version, know every field."""
    files = [*RENDERED.values(), BASE / "secret.template.yaml", KEYS / "keys.template.yaml"]
    command = [sys.executable, "-m", "kubernetes_validate", "--strict", "-k", version, *map(str, files)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    unknown = [line for line in (done.stdout + done.stderr).splitlines() if "INFO" not in line]
    assert ["ServiceMonitor" in line for line in unknown] == [True, True], unknown


@EVERY
def test_every_pod_is_restricted(name: str) -> None:
    """All that the Pod Security Standard "restricted" asks for, and a file system that is read only."""
    for specification in pods(name):
        identity = specification["securityContext"]
        assert identity["runAsNonRoot"] is True
        assert identity["runAsUser"] > 10_000
        assert identity["seccompProfile"] == {"type": "RuntimeDefault"}
        assert specification["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(specification)
        assert all("emptyDir" in volume for volume in specification.get("volumes", []))
        for each in specification["containers"]:
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert each["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in each["resources"]["limits"]


@EVERY
def test_selectors_find_the_pods(name: str) -> None:
    """Service, budget, monitor, network policy and spread all mean the pods of the deployment."""
    deployment = one(name, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels
    assert one(name, "Service")["spec"]["selector"].items() <= labels
    assert one(name, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items() <= labels
    for spread in pod(name)["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"].items() <= labels


@FOR_PRODUCTION
def test_production_survives_a_node_and_a_rollout(name: str) -> None:
    """Three replicas at least, never fewer than wanted in a rollout, one at most taken by a drain."""
    deployment = one(name, "Deployment")
    autoscaler = one(name, "HorizontalPodAutoscaler")["spec"]
    budget = one(name, "PodDisruptionBudget")["spec"]
    assert autoscaler["minReplicas"] == 3
    assert "replicas" not in deployment["spec"]
    assert autoscaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert budget["maxUnavailable"] == 1
    assert budget["selector"]["matchLabels"] == deployment["spec"]["selector"]["matchLabels"]


@FOR_PRODUCTION
def test_the_monitor_gives_the_job_that_alerts_ask_for(name: str) -> None:
    """Alerts and rules ask for a job by name, which the operator takes from a label of the service."""
    monitor = one(name, "ServiceMonitor")["spec"]
    service = one(name, "Service")
    (job,) = yaml.safe_load((SHIPPED / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    (endpoint,) = monitor["endpoints"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["jobLabel"]] == job["job_name"]
    assert endpoint["path"] == job["metrics_path"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}


_LABELS = {"matchLabels", "selector"}


def _without_labels(value: Any) -> Any:
    """Charts name their resources' instance, version and chart; nothing else may differ."""
    if isinstance(value, dict):
        return {key: _without_labels(part) for key, part in value.items() if key not in _LABELS}
    return [_without_labels(part) for part in value] if isinstance(value, list) else value


def test_the_chart_gives_what_the_kustomization_gives() -> None:
    """Whoever changes one is told of the other."""
    chart, base = ({d["kind"]: d for d in documents(name)} for name in ("helm", "kubernetes-production"))
    assert chart.keys() == base.keys() - {"Namespace"}
    for kind in chart.keys() - {"ConfigMap", "Deployment"}:
        assert _without_labels(chart[kind].get("spec")) == _without_labels(base[kind].get("spec")), kind
    assert chart["ConfigMap"]["data"] == base["ConfigMap"]["data"]
    ours, theirs = (pod(name) for name in ("helm", "kubernetes-production"))
    theirs["containers"][0]["envFrom"][0]["configMapRef"]["name"] = "agent-service"
    assert _without_labels(ours) == _without_labels(theirs)


@FOR_PRODUCTION
def test_production_names_a_version_of_the_image(name: str) -> None:
    """A tag that moves would make a restart an upgrade."""
    assert container(name)["image"].endswith(f"/agent-service:{__version__}")


def test_a_secret_is_never_applied_with_the_rest() -> None:
    """The template's made-up keys must not overwrite real ones; trying out needs none."""
    assert "secret" not in (BASE / "kustomization.yaml").read_text(encoding="utf-8").lower()
    kinds = {name: [d["kind"] for d in documents(name)].count("Secret") for name in RENDERED}
    assert kinds == {"helm": 0, "kubernetes-dev": 1, "kubernetes-production": 0}


def test_values_of_the_chart_fit_their_schema() -> None:
    """Helm refuses values that the schema does not allow; a misspelt name is one."""
    schema = yaml.safe_load((CHART / "values.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft7Validator(schema)
    assert list(validator.iter_errors(_values())) == []
    assert schema["properties"].keys() - {"global"} == _values().keys()
    for wrong in ({"replica": 3}, {"settings": {"SERVER_PORT": 3000}}, {"image": {"tag": "latest"}}):
        assert list(validator.iter_errors({**_values(), **wrong})), wrong


def test_keys_are_mounted_so_that_a_change_reaches_the_pod() -> None:
    """A whole Secret, not one file of it; and the setting names the file that its template has."""
    (patch,) = yaml.safe_load((KEYS / "kustomization.yaml").read_text(encoding="utf-8"))["patches"]
    volume, mount, setting = (change["value"] for change in yaml.safe_load(patch["patch"]))
    template = yaml.safe_load((KEYS / "keys.template.yaml").read_text(encoding="utf-8"))

    assert volume["secret"]["secretName"] == template["metadata"]["name"]
    assert (volume["name"], "subPath" in mount) == (mount["name"], False)
    assert (setting["name"], setting["value"]) == ("API_KEYS_FILE", f"{mount['mountPath']}/keys.json")
    assert parse_keys(template["stringData"]["keys.json"].encode()) == ()
