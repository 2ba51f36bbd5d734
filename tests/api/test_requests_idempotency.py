"""The Idempotency-Key header, and the header of an answer that was given before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from agent_service.core.errors import ConflictError

if TYPE_CHECKING:
    import httpx

    from agent_service.core.messages import Answer, Query
    from tests.api.conftest import Service

PATH = "/api/v1/query"
ASKED = {"user_id": "ada", "question": "Hi?"}


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("k", "k"),
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ('"8e03978e"', "8e03978e"),
        (r'"a\"b\\c"', r'a"b\c'),
        (r"a\b", r"a\b"),
        ("!~", "!~"),
        ("x" * 255, "x" * 255),
        (f'"{"x" * 255}"', "x" * 255),
    ],
)
async def test_a_key_is_read_plain_or_quoted(
    service: Service, client: httpx.AsyncClient, header: str, key: str
) -> None:
    """Both forms that clients send name the same key."""
    response = await client.post(PATH, json=ASKED, headers={"Idempotency-Key": header})

    assert response.status_code == 200
    assert [query.idempotency_key for query in service.answering.queries] == [key]


async def test_without_the_header_there_is_no_key(service: Service, client: httpx.AsyncClient) -> None:
    """The guarantee is for who asks for it, and an ordinary answer does not claim to be repeated."""
    response = await client.post(PATH, json=ASKED)

    assert service.answering.queries[0].idempotency_key is None
    assert "idempotency-replayed" not in response.headers


@pytest.mark.parametrize(
    "headers",
    [
        [("Idempotency-Key", "")],
        [("Idempotency-Key", '""')],
        [("Idempotency-Key", '"a')],
        [("Idempotency-Key", '"a"b"')],
        [("Idempotency-Key", r'"a\b"')],
        [("Idempotency-Key", "a b")],
        [("Idempotency-Key", '"a b"')],
        [("Idempotency-Key", "é".encode())],
        [("Idempotency-Key", "x" * 256)],
        [("Idempotency-Key", f'"{"x" * 256}"')],
        [("Idempotency-Key", "a"), ("Idempotency-Key", "a")],
    ],
)
async def test_what_is_no_key_is_refused_by_name(
    service: Service, client: httpx.AsyncClient, headers: list[tuple[str, str | bytes]]
) -> None:
    """A key that cannot be kept as it was meant would promise what does not hold."""
    response = await client.post(PATH, json=ASKED, headers=headers)  # type: ignore[arg-type] # bytes among texts

    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == ["Idempotency-Key"]
    assert service.answering.queries == []


async def test_a_repeated_answer_says_so(service: Service, client: httpx.AsyncClient) -> None:
    """The body is the first one's with its request's id; the header's id is the new request's."""
    first = await client.post(PATH, json=ASKED)
    first_query = service.answering.queries[0]

    async def repeat(_: Query) -> Answer:
        return replace(service.answering.reply(first_query), replayed=True)

    service.answering.script = repeat
    again = await client.post(PATH, json=ASKED, headers={"Idempotency-Key": "k"})

    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["x-request-id"] != again.json()["request_id"] == first.headers["x-request-id"]


async def test_a_conflict_says_when_to_come_back(service: Service, client: httpx.AsyncClient) -> None:
    """While the first query runs the second is 409 with Retry-After."""

    async def refuse(_: Query) -> Answer:
        raise ConflictError(retry_after_seconds=1.0)

    service.answering.script = refuse
    response = await client.post(PATH, json=ASKED, headers={"Idempotency-Key": "k"})

    assert (response.status_code, response.headers["retry-after"]) == (409, "1")
