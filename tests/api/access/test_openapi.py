"""The OpenAPI document says where keys are needed, as the gate has it."""

from __future__ import annotations

from typing import Any

import pytest

from agent_service.api.access.gate import scope_of
from agent_service.api.access.openapi import with_access
from agent_service.api.openai.errors import error_example
from agent_service.api.openapi import openapi_document
from agent_service.api.query import ApiOptions


def _document(*, is_required: bool) -> dict[str, Any]:
    return with_access(openapi_document(ApiOptions()), is_required=is_required, openai_error=error_example)


def _operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (path, operation) for path, methods in document["paths"].items() for operation in methods.values()
    ]


@pytest.mark.parametrize("is_required", [False, True])
def test_each_operation_says_which_key_it_asks_for(is_required: bool) -> None:
    """Either header; none at all where none is needed, or while the service asks nobody."""
    ways: list[Any] = [{"bearer": []}, {"apiKey": []}]
    for path, operation in _operations(_document(is_required=is_required)):
        wanted = [] if scope_of(path) is None else ways if is_required else [*ways, {}]
        assert operation["security"] == wanted
        assert (f"scope `{scope_of(path)}`" in operation["description"]) == (scope_of(path) is not None)


def test_each_scheme_is_described() -> None:
    """Generated clients and the form at /docs send keys by it."""
    schemes = _document(is_required=True)["components"]["securitySchemes"]

    assert {"type": "http", "scheme": "bearer"}.items() <= schemes["bearer"].items()
    assert {"type": "apiKey", "in": "header", "name": "X-API-Key"}.items() <= schemes["apiKey"].items()


def test_refusals_are_documented_where_they_can_happen() -> None:
    """In the shape of the path, once, beside what else has the same status."""
    for path, operation in _operations(_document(is_required=True)):
        media_type = "application/json" if path.startswith("/v1/") else "application/problem+json"
        found = {
            code
            for response in operation["responses"].values()
            for code in response["content"].get(media_type, {}).get("examples", {})
        }
        refusals = {"unauthorized", "forbidden", "identity_unavailable"}
        assert found & refusals == (refusals if scope_of(path) else set())
        for status in ("401", "403"):
            described = operation["responses"].get(status, {"description": ""})["description"]
            assert described.count("`") <= 2
