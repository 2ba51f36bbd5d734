"""Examples, references and operations are tested with the whole document; here is what is particular."""

from __future__ import annotations

from typing import Any

from agent_service.api.openapi import openapi_document
from agent_service.api.query import ApiOptions

PATHS: dict[str, Any] = openapi_document(ApiOptions())["paths"]


def _codes(operation: dict[str, Any]) -> dict[str, set[str]]:
    contents = {
        status: response["content"]["application/json"]
        for status, response in operation["responses"].items()
        if status != "200"
    }
    return {
        status: {
            value["error"]["code"]
            for value in [
                *([content["example"]] if "example" in content else []),
                *(named["value"] for named in content.get("examples", {}).values()),
            ]
        }
        for status, content in contents.items()
    }


def test_both_ways_to_ask_are_refused_as_a_query_is() -> None:
    """The same codes by status in OpenAI's shape, without If-Match's, and with what is not there."""
    for path in ("/v1/chat/completions", "/v1/responses"):
        operation = PATHS[path]["post"]
        plain = PATHS["/api/v1/query"]["post"]["responses"]

        codes = _codes(operation)

        assert set(codes) == set(plain) - {"200", "412"} | {"404"}
        assert codes["503"] >= {"pool_exhausted", "circuit_breaker_open"}
        assert codes["404"] == {"not_found"}
        assert "Retry-After" in operation["responses"]["503"]["headers"]
        assert list(operation["responses"]["200"]["content"]) == ["application/json", "text/event-stream"]


def test_models_fail_by_a_bug_alone() -> None:
    """No query runs there."""
    assert _codes(PATHS["/v1/models"]["get"]) == {"500": {"internal_error"}}
    assert _codes(PATHS["/v1/models/{model}"]["get"]) == {"404": {"not_found"}, "500": {"internal_error"}}
