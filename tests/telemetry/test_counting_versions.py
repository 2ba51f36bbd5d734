from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry

from agent_service.core.messages import Usage
from agent_service.core.observer import QueryFinished, ReleaseRefused, ReleaseRolledBack, StreamCutOff
from agent_service.programs.base import VersionShare
from agent_service.telemetry.counting_versions import CountingVersions

if TYPE_CHECKING:
    from agent_service.core.observer import Event


def _counted(*events: Event) -> dict[str, float]:
    """What is above zero, by name and labels."""
    registry = CollectorRegistry()
    counting = CountingVersions(registry, versions=[VersionShare("p", "base", 1.0)])
    for event in events:
        counting.observe(event)
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.value and not sample.name.endswith("_created")
    }


def _ended(code: str | None, *, may_blame_program: bool = False) -> QueryFinished:
    return QueryFinished(
        "r", "ada", "s", "p", "m", code, 0, (), Usage(), 0.1, stored=True, version="v1",
        may_blame_program=may_blame_program,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (_ended(None), "success"),
        (_ended("internal_error", may_blame_program=True), "failure"),
        (_ended("cancelled"), "excused"),
    ],
)
def test_queries_are_counted_by_version(event: QueryFinished, outcome: str) -> None:
    """What says nothing of the program is told from its failures."""
    assert _counted(event) == {f"agent_program_queries_total p v1 {outcome}": 1}


def test_what_becomes_of_new_versions_is_counted() -> None:
    """By program; other events are passed over."""
    assert _counted(ReleaseRolledBack("", "p", "v1", "base"), StreamCutOff("r")) == {
        "agent_release_rollbacks_total p": 1
    }
    assert _counted(ReleaseRefused("", "p", "v1")) == {"agent_release_refusals_total p": 1}
