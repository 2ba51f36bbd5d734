"""What is shipped for containers and clusters, read and taken apart."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from tests.deploy.prometheus import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

Document = dict[str, Any]

RENDERED = {path.stem: path for path in sorted((ROOT / "deploy/rendered").glob("*.yaml"))}
COMPOSE: Document = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def documents(name: str) -> list[Document]:
    """Every resource of one rendered file."""
    return list(yaml.safe_load_all(RENDERED[name].read_text(encoding="utf-8")))


def one(name: str, kind: str) -> Document:
    """The service's own resource of a kind; what else is there belongs to Redis."""
    (found,) = [
        document
        for document in documents(name)
        if document["kind"] == kind and not document["metadata"]["name"].startswith("redis")
    ]
    return found


def pods(name: str) -> Iterator[Document]:
    """The specification of every pod."""
    for document in documents(name):
        if document["kind"] in {"Deployment", "StatefulSet"}:
            yield document["spec"]["template"]["spec"]


def pod(name: str) -> Document:
    """The pod of the service."""
    specification: Document = one(name, "Deployment")["spec"]["template"]["spec"]
    return specification


def container(name: str) -> Document:
    """The container of the service."""
    (only,) = pod(name)["containers"]
    specification: Document = only
    return specification


def settings(name: str) -> dict[str, str]:
    """What the ConfigMap sets."""
    values: dict[str, str] = one(name, "ConfigMap")["data"]
    return values


def image_variables() -> dict[str, str]:
    """What the last stage of the Dockerfile sets."""
    last_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    (block,) = re.findall(r"^ENV ((?:.*\\\n)*.*)", last_stage, re.MULTILINE)
    return dict(pair.split("=", 1) for pair in block.replace("\\\n", " ").split())
