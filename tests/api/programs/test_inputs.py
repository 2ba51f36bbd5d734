"""Inputs as they are kept."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from agent_service.api.programs.inputs import question_of, read_inputs
from agent_service.core.errors import InvalidRequestError
from agent_service.programs.base import ProgramSpec
from agent_service.programs.typed.interface import TypedField, TypedInterface, text_interface

SPEC = ProgramSpec("p", "m", ("a", "b"), ("c",), text_interface(["a", "b"], ["c"]))
DEEP = replace(SPEC, interface=TypedInterface([TypedField("a", dict[str, list[str]])], []))
SOUND = "data:audio/wav;base64," + "A" * 1000


def test_images_and_sounds_are_not_kept() -> None:
    """Their kind and length are; a short one, and a text that only looks like one, stay."""
    sent = {"a": SOUND, "b": {"c": ["data:text/plain;base64,aGk=", "data: " + "x" * 1000]}}

    kept = json.loads(question_of(SPEC, sent))

    assert kept["a"] == "data:audio/wav;base64,[1000 characters]"
    assert kept["b"] == sent["b"]


def test_a_data_uri_may_be_as_long_as_the_body() -> None:
    """A text may not, wherever it stands, and neither what only begins like one."""
    assert read_inputs(SPEC, {"a": SOUND, "b": "x"}, max_text_chars=10).values["a"] == SOUND
    for text in ("x" * 11, f"{SOUND}!"):
        with pytest.raises(InvalidRequestError) as refused:
            read_inputs(DEEP, {"a": {"deep": ["", text]}}, max_text_chars=10)
        assert [field.field for field in refused.value.fields] == ["inputs.a.deep.1"]


def test_equal_inputs_have_equal_texts() -> None:
    """Whatever the order in which they came: an idempotency key is bound to it."""
    one, other = ({"a": "1", "b": "2"}, {"b": "2", "a": "1"})
    texts = {read_inputs(SPEC, sent, max_text_chars=10).text for sent in (one, other)}
    assert texts == {'{"a":"1","b":"2"}'}
