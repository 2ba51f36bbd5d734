from __future__ import annotations

from dataclasses import dataclass

from agent_service.telemetry.upstream_gauges import UpstreamGauges


@dataclass(frozen=True)
class Numbers:
    """An upstream's numbers."""

    model: str
    limit: float
    in_flight: int
    waiting: int
    retry_budget: float


def read(*upstreams: Numbers) -> dict[str, dict[str, float]]:
    """Value by model by gauge."""
    return {
        family.name: {sample.labels["model"]: sample.value for sample in family.samples}
        for family in UpstreamGauges(lambda: upstreams).collect()
    }


def test_each_model_has_its_own_numbers() -> None:
    """One series per gauge and model, with the numbers of now."""
    assert read(Numbers("a", 8.5, 3, 2, 9.75), Numbers("b", 4.0, 1, 0, 10.0)) == {
        "agent_lm_concurrency_limit": {"a": 8.5, "b": 4.0},
        "agent_lm_in_flight": {"a": 3, "b": 1},
        "agent_lm_waiting": {"a": 2, "b": 0},
        "agent_lm_retry_budget": {"a": 9.75, "b": 10.0},
    }


def test_upstreams_of_one_model_are_added_up() -> None:
    """Two keys for one model are two upstreams; the same series twice would void the whole exposition."""
    numbers = read(Numbers("a", 8.0, 3, 2, 9.0), Numbers("a", 4.0, 1, 1, 1.5))
    assert [dict(by_model) for by_model in numbers.values()] == [{"a": 12.0}, {"a": 4}, {"a": 3}, {"a": 10.5}]


def test_the_gauges_are_known_without_any_upstream() -> None:
    """A name that appears with its first call cannot be found when it is looked for."""
    assert list(read()) == [
        "agent_lm_concurrency_limit",
        "agent_lm_in_flight",
        "agent_lm_waiting",
        "agent_lm_retry_budget",
    ]
