"""The OpenAPI document says what the app does, in valid schemas with true examples."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

from agent_service.api.access.openapi import with_access
from agent_service.api.openai.errors import error_example
from agent_service.api.openapi import openapi_document
from agent_service.api.query import ApiOptions
from tests.api.conftest import FAKE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.conftest import Service

DOCUMENT = with_access(openapi_document(ApiOptions(), [FAKE]), is_required=False, openai_error=error_example)
COMPONENTS: dict[str, Any] = DOCUMENT["components"]["schemas"]
OPERATIONS = [
    (method, path, operation)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]


def _check(value: object, schema: dict[str, Any]) -> None:
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(value)


def _contents(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from operation.get("requestBody", {}).get("content", {}).values()
    for response in operation["responses"].values():
        yield from response["content"].values()


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_schema_is_a_schema(name: str) -> None:
    """Each component is valid JSON Schema 2020-12, which OpenAPI 3.1 speaks, and has a description."""
    validator_for(COMPONENTS[name], default=Draft202012Validator).check_schema(COMPONENTS[name])

    assert COMPONENTS[name]["description"]


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_every_example_fits_its_schema(method: str, path: str, operation: dict[str, Any]) -> None:
    """Requests, answers and errors all have an example, and it is true."""
    for content in _contents(operation):
        examples = [content["example"]] if "example" in content else []
        examples += [named["value"] for named in content.get("examples", {}).values()]
        assert examples
        for example in examples:
            _check(example, content["schema"])


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)
def test_every_operation_is_complete(method: str, path: str, operation: dict[str, Any]) -> None:
    """Each operation has what OpenAPI 3.1 asks for, and each answer names the request's id."""
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    in_path = {at["name"] for at in operation["parameters"] if at.get("in") == "path"}

    assert operation["summary"]
    assert set(operation["tags"]) <= tags
    assert in_path == {part[1:-1] for part in path.split("/") if part.startswith("{")}
    for response in operation["responses"].values():
        assert response["description"]
        assert "X-Request-ID" in response["headers"]


def test_operation_ids_are_unique() -> None:
    """Generated clients name their functions by them."""
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]

    assert len(ids) == len(set(ids))


def test_every_reference_leads_somewhere() -> None:
    """No ``$ref`` is dangling and no component is unused."""
    text = json.dumps(DOCUMENT)
    parts = {
        f"#/components/{kind}/{name}"
        for kind, named in DOCUMENT["components"].items()
        for name in named
        if kind != "securitySchemes"  # they are named, not referred to
    }
    used = {part.split('"')[0] for part in text.split('"$ref": "')[1:]}

    assert used == parts


async def test_the_document_has_every_endpoint_and_no_other(service: Service) -> None:
    """What the document lists is answered, and what the API answers is listed."""
    documented = {(method.upper(), path) for method, path, _ in OPERATIONS}
    answered = set()
    async with service.client() as client:
        for path in DOCUMENT["paths"]:
            allowed = (await client.request("BREW", path)).headers["allow"].split(", ")
            answered |= {(method, path) for method in allowed if method != "HEAD"}

    assert answered == documented


def test_limits_are_those_of_the_options() -> None:
    """A client reads the question's real limit."""
    document = openapi_document(ApiOptions(max_question_chars=77))

    assert document["components"]["schemas"]["QueryRequest"]["properties"]["question"]["maxLength"] == 77


def _by_status(operation: dict[str, Any]) -> dict[str, set[str]]:
    problems = {
        status: response["content"].get("application/problem+json", {}).get("examples", {})
        for status, response in operation["responses"].items()
    }
    return {status: set(examples) for status, examples in problems.items() if examples}


def test_a_query_documents_every_refusal() -> None:
    """All codes that a query can meet are listed under their status; 503 says Retry-After."""
    operation = DOCUMENT["paths"]["/api/v1/query"]["post"]

    assert _by_status(operation) == {
        "400": {"invalid_request"},
        "401": {"unauthorized"},
        "403": {"forbidden"},
        "413": {"payload_too_large", "context_too_long"},
        "409": {"conflict"},
        "412": {"precondition_failed"},
        "429": {"rate_limited"},
        "415": {"unsupported_media_type"},
        "422": {"invalid_request", "budget_exhausted"},
        "500": {"misconfigured", "internal_error"},
        "502": {"upstream_error"},
        "503": {
            "pool_exhausted",
            "circuit_breaker_open",
            "shutting_down",
            "upstream_rate_limited",
            "memory_unavailable",
            "identity_unavailable",
        },
        "504": {"timeout"},
    }
    assert "Retry-After" in operation["responses"]["503"]["headers"]


def test_errors_of_a_query_that_had_begun_show_its_progress() -> None:
    """What a client can expect in an error is in its example; a refusal at the door has no progress."""
    responses = DOCUMENT["paths"]["/api/v1/query"]["post"]["responses"]
    examples: dict[str, Any] = {}
    for response in responses.values():
        examples |= response["content"].get("application/problem+json", {}).get("examples", {})

    with_progress = {code for code, example in examples.items() if "usage" in example["value"]}

    assert with_progress == {
        "conflict",
        "context_too_long",
        "budget_exhausted",
        "misconfigured",
        "upstream_error",
        "upstream_rate_limited",
        "timeout",
    }


def _first_event(text: str) -> object:
    """The fields of the first server-sent event; another text is itself."""
    lines = text.partition("\n\n")[0].split("\n")
    return dict(line.split(": ", 1) for line in lines) if lines[0].startswith("id: ") else text


async def test_real_answers_fit_the_document(service: Service) -> None:
    """What the service sends validates against what it documents."""
    async with service.client() as client:
        for method, path, operation in OPERATIONS:
            body = {"user_id": "ada", "question": "?"} if "requestBody" in operation else None
            response = await client.request(method, path.replace("{user_id}", "ada"), json=body)
            documented = operation["responses"][str(response.status_code)]
            schema = documented["content"][response.headers["content-type"].partition(";")[0]]["schema"]
            is_json = response.headers["content-type"] in {"application/json", "application/problem+json"}
            _check(response.json() if is_json else _first_event(response.text), schema)


async def test_the_document_is_served_as_it_is(service: Service) -> None:
    """``/openapi.json`` is this document."""
    async with service.client() as client:
        response = await client.get("/openapi.json")

    assert response.json() == DOCUMENT
