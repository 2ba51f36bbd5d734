"""The shapes themselves: examples are true, answers may grow."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from agent_service.api import schemas

MODELS = [
    model
    for model in vars(schemas).values()
    if isinstance(model, type) and issubclass(model, BaseModel) and "json_schema_extra" in model.model_config
]


@pytest.mark.parametrize("model", MODELS)
def test_every_example_is_valid(model: type[BaseModel]) -> None:
    """What the documentation shows is what the service accepts and sends."""
    extra: Any = model.model_config["json_schema_extra"]

    for example in extra["examples"]:
        parsed = model.model_validate(example, context={"max_question_chars": 100})
        assert parsed.model_dump(mode="json", exclude_unset=True) == example


def test_only_requests_refuse_unknown_fields() -> None:
    """A field added to an answer later must not break a client that validates by the schema."""
    closed = {
        model.__name__ for model in MODELS if not model.model_json_schema().get("additionalProperties", True)
    }

    assert closed == {"QueryRequest"}


def test_what_was_asked_is_not_kept() -> None:
    """The parser holds no caller's question in case another asks the same."""
    body = b'{"user_id": "ada", "question": "What is 2+2?"}'

    first, second = (
        schemas.QueryRequest.model_validate_json(body, context={"max_question_chars": 100}) for _ in range(2)
    )

    assert first.question is not second.question
