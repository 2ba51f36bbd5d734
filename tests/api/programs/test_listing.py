"""What is served, for those who ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.api.programs.conftest import TYPED

if TYPE_CHECKING:
    import httpx


async def test_programs_are_listed_with_their_schemas(client: httpx.AsyncClient) -> None:
    """The default first; one alone is the same."""
    listed = (await client.get("/api/v1/programs")).json()["programs"]
    found = (await client.get("/api/v1/programs/tri-age")).json()

    assert [(each["name"], each["is_default"], each["is_plain"]) for each in listed] == [
        ("fake", True, True),
        ("tri-age", False, False),
    ]
    assert found == listed[1]
    assert found == {
        "name": "tri-age",
        "is_default": False,
        "is_plain": False,
        "model": "fake-model",
        "version": "0123456789ab",
        "tools": ["look_up"],
        "inputs": TYPED.interface.input_schema,
        "outputs": TYPED.interface.output_schema,
    }


async def test_what_takes_a_question_is_a_model(client: httpx.AsyncClient) -> None:
    """The others are not."""
    models = (await client.get("/v1/models")).json()["data"]
    assert [model["id"] for model in models] == ["fake"]
    assert (await client.get("/v1/models/tri-age")).status_code == 404
