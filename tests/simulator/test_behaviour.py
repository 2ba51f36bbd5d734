from __future__ import annotations

import json
from typing import Any

import pytest

from agent_service.simulator.behaviour import FAULT_KINDS, Behaviour, Fault


def _through_json(behaviour: Behaviour) -> Behaviour:
    return Behaviour.from_json(json.loads(json.dumps(behaviour.to_json())))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"kind": "nope"}, "unknown fault 'nope'"),
        ({}, "unknown fault ''"),
        ({"kind": "399"}, "unknown fault"),
        ({"kind": "hang", "rate": 1.1}, "rate must be from 0 to 1"),
        ({"kind": "hang", "pause": -1}, "must not be negative"),
        ({"kind": "hang", "pause": "soon"}, "pause_seconds must be a number"),
        ({"kind": "hang", "pause": "nan"}, "must be a finite number"),
        ({"kind": "hang", "colour": 1}, "a fault has no colour"),
    ],
)
def test_a_wrong_fault_says_what_is_wrong(parameters: dict[str, Any], message: str) -> None:
    """Each value that is not allowed is refused in words."""
    with pytest.raises(ValueError, match=message):
        Fault.from_parameters(parameters)


def test_a_fault_is_read_by_short_and_long_names() -> None:
    """Directives use short names, JSON the whole ones; a status may be a number."""
    fault = Fault("429", rate=0.5, retry_after_seconds=2.0, pause_seconds=0.1, size_bytes=7)
    short = {"kind": 429, "rate": 0.5, "retry_after": "2", "pause": "0.1", "bytes": "7"}
    assert Fault.from_parameters(short) == fault
    assert _through_json(Behaviour(faults=(fault,))).faults == (fault,)


def test_only_statuses_of_errors_are_statuses() -> None:
    """A named kind has no status of its own, a number has."""
    assert Fault("503").status == 503
    assert [Fault(kind).status for kind in FAULT_KINDS] == [None] * len(FAULT_KINDS)


def test_a_behaviour_survives_json() -> None:
    """What is read back is what was set."""
    behaviour = Behaviour(0.1, 0.2, 30.0, (Fault("hang", rate=0.5),))
    assert _through_json(behaviour) == behaviour
    assert Behaviour.from_json({}) == Behaviour()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "a behaviour is an object with"),
        ({"colour": 1}, "a behaviour is an object with"),
        ({"latency_seconds": -1}, "latency must not be negative"),
        ({"latency_seconds": "x"}, "latency_seconds must be a number"),
        ({"tokens_per_second": 0}, "tokens_per_second must be above 0"),
        ({"faults": {}}, "faults must be a list"),
        ({"faults": ["500"]}, "faults must be a list"),
    ],
)
def test_a_wrong_behaviour_says_what_is_wrong(value: Any, message: str) -> None:
    """Each value that is not allowed is refused in words."""
    with pytest.raises(ValueError, match=message):
        Behaviour.from_json(value)
