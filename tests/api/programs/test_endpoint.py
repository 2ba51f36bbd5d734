"""POST /api/v1/programs/{name}/query."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from agent_service.api.query import ApiOptions
from agent_service.core.messages import ConversationId
from tests.api.conftest import FAKE
from tests.api.programs.conftest import OUTPUTS, TYPED, Colour, Person

if TYPE_CHECKING:
    import httpx

    from tests.api.conftest import Service

PATH = "/api/v1/programs/tri-age/query"
INPUTS: dict[str, Any] = {"message": "Hi", "colour": "red", "people": [{"name": "Ada"}]}
BODY = {"user_id": "ada", "session_id": "s", "inputs": INPUTS}


async def test_a_program_is_asked_by_the_names_of_its_fields(
    service: Service, client: httpx.AsyncClient
) -> None:
    """It gets values of its own types, and its outputs come back by name with the rest of a response."""
    response = await client.post(PATH, json=BODY, headers={"X-Request-ID": "r1", "X-Request-Timeout": "2"})

    assert response.status_code == 200
    assert response.json() == {
        "program": "tri-age",
        "outputs": OUTPUTS,
        "user_id": "ada",
        "session_id": "s",
        "reasoning_steps": 1,
        "latency_ms": 123,
        "request_id": "r1",
        "model": "fake-model",
        "tools_used": ["look_up"],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "lm_calls": 2},
        "stored": True,
        "seq": 3,
        "degraded": [],
        "program_version": None,
    }
    (query,) = service.answering.queries
    assert (query.program, query.conversation, query.timeout_seconds) == (
        "tri-age",
        ConversationId("ada", "s"),
        2,
    )
    assert query.inputs is not None
    assert query.inputs.values == {"message": "Hi", "colour": Colour.RED, "people": [Person(name="Ada")]}
    assert query.inputs.text == json.dumps(INPUTS, sort_keys=True, separators=(",", ":"))
    assert json.loads(query.question) == INPUTS


async def test_a_plain_program_is_asked_so_too(service: Service, client: httpx.AsyncClient) -> None:
    """Its turn reads like any other: the question alone."""
    await client.post(f"/api/v1/programs/{FAKE.name}/query", json={**BODY, "inputs": {"question": "Hi?"}})

    (query,) = service.answering.queries
    assert (query.question, query.inputs and query.inputs.values) == ("Hi?", {"question": "Hi?"})


@pytest.mark.parametrize(
    ("inputs", "fields"),
    [
        ({}, {"inputs.message", "inputs.colour"}),
        ({**INPUTS, "message": 3}, {"inputs.message"}),
        ({**INPUTS, "colour": "green"}, {"inputs.colour"}),
        ({**INPUTS, "count": 0}, {"inputs.count"}),
        (
            {**INPUTS, "people": [{"friends": [{}]}]},
            {"inputs.people.0.name", "inputs.people.0.friends.0.name"},
        ),
        ({**INPUTS, "config": {"api_base": "http://evil"}}, {"inputs.config"}),
        ({**INPUTS, "message": "x" * 9}, {"inputs.message"}),
        ({**INPUTS, "people": [{"name": "x" * 9}]}, {"inputs.people.0.name"}),
        ("text", {"inputs"}),
        (None, {"inputs"}),
    ],
)
async def test_each_wrong_input_is_named(service: Service, inputs: object, fields: set[str]) -> None:
    """And nothing runs; a text has as many characters as a question may have."""
    service.options = ApiOptions(max_question_chars=8)
    async with service.client() as client:
        response = await client.post(PATH, json={**BODY, "inputs": inputs})

    assert response.status_code == 422
    assert {at["field"] for at in response.json()["errors"]} == fields
    assert service.answering.queries == []


@pytest.mark.parametrize("body", [{"inputs": INPUTS}, {**BODY, "question": "Hi?"}, {"user_id": "ada"}])
async def test_the_rest_of_a_request_is_held_to_the_rules_of_a_query(
    client: httpx.AsyncClient, body: dict[str, Any]
) -> None:
    """Who asks is said, and nothing that is not known."""
    assert (await client.post(PATH, json=body)).status_code == 422


@pytest.mark.parametrize("path", ["", "/query", "/query/stream"])
async def test_a_program_that_is_not_served_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    """The detail names those that are."""
    ask = client.get if not path else client.post
    response = await ask(f"/api/v1/programs/none{path}")

    assert response.status_code == 404
    assert response.json()["detail"] == "No such program is served; there is fake, tri-age."


@pytest.mark.parametrize("path", ["/query", "/query/stream"])
async def test_it_is_followed_like_a_query(client: httpx.AsyncClient, path: str) -> None:
    """By its own path, or by who prefers events; the last event has the outputs."""
    response = await client.post(
        f"/api/v1/programs/tri-age{path}?on_disconnect=continue",
        json=BODY,
        headers={"Accept": "text/event-stream"},
    )

    assert response.headers["content-type"].startswith("text/event-stream")
    kinds = [line[7:] for line in response.text.splitlines() if line.startswith("event: ")]
    assert kinds == ["answer"]
    assert json.loads(response.text.split("data: ")[-1])["outputs"] == OUTPUTS


async def test_headers_of_a_query_hold(service: Service, client: httpx.AsyncClient) -> None:
    """The idempotency key and the expected turn go along; wrong ones are refused."""
    await client.post(PATH, json=BODY, headers={"Idempotency-Key": "k", "If-Match": "7"})
    refused = await client.post(PATH, json=BODY, headers={"If-Match": "*"})

    (query,) = service.answering.queries
    assert (query.idempotency_key, query.expected_seq) == ("k", 7)
    assert refused.status_code == 422


@pytest.mark.parametrize("path", ["/api/v1/query", "/api/v1/query/stream"])
async def test_no_question_goes_to_a_default_that_takes_none(service: Service, path: str) -> None:
    """The detail says what it takes and where; as a model it is not listed."""
    service.programs = (TYPED,)
    async with service.client() as client:
        response = await client.post(path, json={"user_id": "ada", "question": "Hi?"})
        models = await client.get("/v1/models")
        document = (await client.get("/openapi.json")).json()

    assert response.status_code == 404
    assert "message, colour, people, count" in response.json()["detail"]
    assert PATH in response.json()["detail"]
    assert models.json()["data"] == []
    assert path not in document["paths"]
    assert service.answering.queries == []
