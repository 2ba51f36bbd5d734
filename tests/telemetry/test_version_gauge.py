from __future__ import annotations

from agent_service.programs.base import VersionShare
from agent_service.telemetry.version_gauge import VersionGauge


def test_each_version_that_answers_has_its_share() -> None:
    """As it is at the scrape; a version that answers no more is gone."""
    shares = [VersionShare("p", "base", 0.9), VersionShare("p", "v1", 0.1)]
    gauge = VersionGauge(lambda: shares)

    def told() -> dict[str, float]:
        return {
            " ".join(sample.labels.values()): sample.value
            for family in gauge.collect()
            for sample in family.samples
        }

    assert told() == {"p base": 0.9, "p v1": 0.1}
    shares[:] = [VersionShare("p", "v1", 1.0)]
    assert told() == {"p v1": 1.0}
