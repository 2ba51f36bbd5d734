"""What is taken from inside DSPy's adapters and clients behaves as they do; an upgrade is seen here first."""

from __future__ import annotations

from typing import Any

import dspy
import pytest
from dspy import lm15
from dspy.adapters.types.decision import Noul

from agent_service.programs.fast import lm_internals
from tests.programs.fast.conftest import lm_at_seam

QA = dspy.Signature("question -> answer, number: int")
QUIET: dict[str, Any] = {"disable_history": True, "track_usage": False, "warn_on_type_mismatch": False}


def test_a_request_with_another_question_is_one_that_lm15_makes() -> None:
    """Equal in every field, and as good as one that was checked."""
    head = lm15.Message.assistant("before")
    config = lm15.Config(temperature=0.5)
    made = [
        lm15.Request(model="m", messages=(head, lm15.Message.user(text)), system="s", config=config)
        for text in ("one", "two")
    ]
    assert lm_internals.asked(made[0], "two") == made[1]
    assert repr(lm_internals.asked(made[0], "two")) == repr(made[1])


@pytest.mark.parametrize("kind", [dspy.Image, list[dspy.Image], dict[str, dspy.Tool]])
def test_dspys_own_types_are_found_at_any_depth(kind: Any) -> None:
    """And only those."""
    assert lm_internals.custom_types(kind)
    assert not lm_internals.custom_types(list[int])


def test_decisions_are_recognised() -> None:
    """DSPy asks for them in another way."""
    decision = dspy.Signature(
        {"q": (str, dspy.InputField()), "a": (Noul, dspy.OutputField(desc="is it?"))}, "Decide."
    )
    for adapter in (dspy.ChatAdapter(), dspy.JSONAdapter()):
        assert lm_internals.takes_decisions(decision, adapter)
        assert not lm_internals.takes_decisions(QA, adapter)


def test_the_second_adapter_is_the_one_that_a_chat_adapter_makes() -> None:
    """With its options."""
    for is_native in (False, True):
        adapter = lm_internals.json_fallback(dspy.ChatAdapter(use_native_function_calling=is_native))
        assert type(adapter) is dspy.JSONAdapter
        assert adapter.use_native_function_calling is is_native


async def test_a_request_that_dspy_would_not_make_once_is_none() -> None:
    """Several generations, and what comes from DSPy's cache."""
    lm, _ = lm_at_seam("a")
    messages = [{"role": "user", "content": "q"}]
    assert lm_internals.canonical_request(lm, messages, {}) == lm15.Request(
        model=lm.model, messages=(lm15.Message.user("q"),)
    )
    assert lm_internals.canonical_request(lm, messages, {"n": 2}) is None
    assert lm_internals.canonical_request(lm.copy(cache=True), messages, {}) is None


async def test_messages_after_the_first_are_those_of_a_whole_request() -> None:
    """Whatever goes before them."""
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]
    rows: list[dict[str, Any]] = [
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c", "name": "f", "content": "done"},
        {"role": "user", "content": "go on"},
    ]
    lm, _ = lm_at_seam("a")
    request = lm_internals.canonical_request(lm, [{"role": "user", "content": "q"}, *rows], {})
    assert request is not None
    assert lm_internals.canonical_messages(rows, lm.model) == request.messages[1:]
    assert lm_internals.asked(request, "end", request.messages[1:]).messages[-2] == lm15.Message.user("go on")


def test_the_kind_of_an_adapter_is_known_when_it_is_plain() -> None:
    """By class and way of calling tools; one with other options is of no kind."""
    for kind in (lm_internals.AdapterKind(dspy.JSONAdapter, True), lm_internals.AdapterKind()):
        assert lm_internals.kind_of(kind.make()) == kind
    assert lm_internals.kind_of(None) == lm_internals.AdapterKind()
    assert lm_internals.kind_of(dspy.XMLAdapter()) is None
    assert lm_internals.kind_of(dspy.JSONAdapter(parallel_tool_calls=True)) is None


@pytest.mark.parametrize(
    ("able", "expected"),
    [
        ({}, None),
        ({"supported_params": frozenset({"response_format"})}, {"type": "json_object"}),
        ({"supported_params": frozenset({"response_format"}), "supports_response_schema": True}, "schema"),
    ],
)
async def test_json_is_asked_for_as_the_model_can_give_it(able: dict[str, Any], expected: Any) -> None:
    """By schema, as any object, or by words alone."""
    lm, _ = lm_at_seam("a")
    vars(lm_internals.engines(lm)[0]).update(able)
    found: Any = lm_internals.json_settings(dspy.JSONAdapter(), lm, {}, QA).get("response_format")
    assert (found.__name__ == "DSPyProgramOutputs") if expected == "schema" else (found == expected)
