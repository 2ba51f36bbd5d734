"""What the document says of programs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from agent_service.api.openapi import endpoints_of, openapi_document
from agent_service.api.query import ApiOptions
from tests.api.conftest import FAKE
from tests.api.programs.conftest import TYPED

DOCUMENT: dict[str, Any] = openapi_document(ApiOptions(), [FAKE, TYPED])
OPERATIONS = [
    DOCUMENT["paths"][f"/api/v1/programs/{spec.name}/query{stream}"]["post"]
    for spec in (FAKE, TYPED)
    for stream in ("", "/stream")
]


def _validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation["operationId"])
def test_each_program_has_an_operation_with_true_examples(operation: dict[str, Any]) -> None:
    """Request and answer have the program's own fields, and an example that fits them."""
    asked = operation["requestBody"]["content"]["application/json"]
    answered = operation["responses"]["200"]["content"].get("application/json", asked)
    for content in (asked, answered):
        _validator(content["schema"]).validate(content["example"])


def test_the_fields_are_those_of_the_signature() -> None:
    """A generated client has them by name; what is no input is no field."""
    schema = DOCUMENT["components"]["schemas"]["tri-age.Request"]
    good: dict[str, Any] = {"message": "Hi", "colour": "red", "people": [{"name": "Ada"}]}

    assert _validator(schema).is_valid({"user_id": "ada", "inputs": good})
    for wrong in ({"message": "Hi"}, {**good, "colour": "green"}, {**good, "lm": 1}):
        assert not _validator(schema).is_valid({"user_id": "ada", "inputs": wrong})


def test_types_of_two_programs_do_not_meet() -> None:
    """Each has its own, and every reference leads somewhere."""
    text = json.dumps(DOCUMENT)
    schemas = DOCUMENT["components"]["schemas"]

    assert {"tri-age.inputs.Person", "tri-age.outputs.Person", "tri-age.inputs.Colour"} <= set(schemas)
    assert "#/$defs/" not in text
    used = {part.split('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]}
    assert used <= set(schemas)


def test_endpoints_and_ids_are_listed_by_name() -> None:
    """For clients that are generated, and for ``/api/v1/info``."""
    ids = [operation["operationId"] for operation in OPERATIONS]
    assert ids == ["query.fake", "streamQuery.fake", "query.tri-age", "streamQuery.tri-age"]
    assert "POST /api/v1/programs/tri-age/query" in endpoints_of(DOCUMENT)
