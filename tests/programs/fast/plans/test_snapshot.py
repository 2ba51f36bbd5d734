"""A snapshot tells whether a signature and its demonstrations are still what they were."""

from __future__ import annotations

import copy
from typing import Any, Literal

import dspy
import pytest

from agent_service.programs.fast.plans.snapshot import Snapshot


def _reworded(signature: Any, _: list[Any]) -> None:
    signature.instructions = "Other words."


def _described(signature: Any, _: list[Any]) -> None:
    signature.output_fields["answer"].json_schema_extra["desc"] = "in one word"


def _retyped(signature: Any, _: list[Any]) -> None:
    signature.output_fields["answer"].annotation = Literal["a"]


def _with_default(signature: Any, _: list[Any]) -> None:
    signature.input_fields["question"].default = "Why?"


def _more_demos(_: Any, demos: list[Any]) -> None:
    demos.append({"question": "q2", "answer": "a2"})


def _other_value(_: Any, demos: list[Any]) -> None:
    demos[0]["answer"] = "other"


def _changed_value(_: Any, demos: list[Any]) -> None:
    demos[0]["question"].append("more")


def _other_type(_: Any, demos: list[Any]) -> None:
    demos[0] = {**demos[0], "answer": 1.0}


def _other_demo(_: Any, demos: list[Any]) -> None:
    demos[0] = dspy.Prediction(**demos[0])


@pytest.mark.parametrize(
    "change",
    [
        _reworded,
        _described,
        _retyped,
        _with_default,
        _more_demos,
        _other_value,
        _changed_value,
        _other_type,
        _other_demo,
    ],
)
def test_a_snapshot_tells_what_changes_in_place(change: Any) -> None:
    """Optimisers, state that is loaded and users change signatures and demonstrations under us."""
    signature, demos = dspy.Signature("question -> answer"), [{"question": ["q"], "answer": 1}]
    snapshot = Snapshot.of(signature, demos)
    assert snapshot.still(signature, demos)
    assert snapshot.still(signature, copy.deepcopy(demos))
    change(signature, demos)
    assert not snapshot.still(signature, demos)
