from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx


async def test_the_program_is_the_only_model(client: httpx.AsyncClient) -> None:
    """Listed, and found by its name."""
    listed = await client.get("/v1/models")
    found = await client.get("/v1/models/fake")

    model = {"id": "fake", "object": "model", "created": 0, "owned_by": "agent-service"}
    assert listed.json() == {"object": "list", "data": [model]}
    assert found.json() == model


async def test_another_model_is_not_found(client: httpx.AsyncClient) -> None:
    """The error names the model that there is."""
    response = await client.get("/v1/models/gpt-4o")

    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"
    assert "'fake'" in response.json()["error"]["message"]


async def test_errors_of_the_boundary_have_openais_shape_below_its_path_alone(
    client: httpx.AsyncClient,
) -> None:
    """A path that is not there, a method that does not apply: clients read them too."""
    missing = await client.get("/v1/nothing")
    method = await client.get("/v1/responses")
    other = await client.get("/v1")

    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    assert (method.status_code, method.json()["error"]["code"]) == (405, "method_not_allowed")
    assert method.headers["allow"] == "POST"
    assert missing.headers["content-type"] == "application/json"
    assert other.headers["content-type"] == "application/problem+json"
