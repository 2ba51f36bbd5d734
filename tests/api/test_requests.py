"""What is refused at the door, and how clearly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from agent_service.api.query import ApiOptions
from agent_service.api.requests import read_json, read_valid_json, validated
from agent_service.api.schemas import QueryRequest
from agent_service.core.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    import httpx
    from starlette.types import Message

    from tests.api.conftest import Service

PATH = "/api/v1/query"
JSON = {"Content-Type": "application/json"}
ASKED = {"user_id": "ada", "question": "What is 2+2?"}

MALFORMED = {
    "empty": b"",
    "no JSON": b"{",
    "trailing comma": b'{"user_id": "ada",}',
    "two values": b"{} {}",
    "invalid UTF-8": b'{"user_id": "\xff", "question": "?"}',
    "UTF-16": '{"user_id": "ada"}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"user_id": "ada", "question": "?"}',
    "NaN": b'{"user_id": NaN}',
    "Infinity": b'{"user_id": -Infinity}',
    "lone surrogate": b'{"user_id": "ada", "question": "\\ud800"}',
    "lone surrogate as a name": b'{"\\udfff": 1}',
    "deep nesting": b"[" * 100_000,
    "deep nesting in a field": b'{"user_id": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001,
    "endless number": b'{"user_id": ' + b"9" * 10_000 + b"}",
    "same field twice": b'{"user_id": "ada", "question": "?", "user_id": "eve"}',
    "raw control character": b'{"user_id": "a\x01", "question": "?"}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_body_that_is_no_json_is_malformed(
    service: Service, client: httpx.AsyncClient, body: bytes
) -> None:
    """What RFC 8259 does not allow, or parsers read differently, is 400 and never reaches the agent."""
    response = await client.post(PATH, content=body, headers=JSON)

    assert response.status_code == 400
    assert response.json()["error"] == "invalid_request"
    assert service.answering.queries == []


async def test_a_repeated_field_is_named(client: httpx.AsyncClient) -> None:
    """The caller is told which field was given twice."""
    response = await client.post(PATH, content=b'{"question": "a", "question": "b"}', headers=JSON)

    assert 'duplicate field "question"' in response.json()["detail"]


INVALID = {
    "not an object": ([], ["body"]),
    "a string": ("question", ["body"]),
    "nothing": ({}, ["user_id", "question"]),
    "null": ({"user_id": None, "question": None}, ["user_id", "question"]),
    "numbers": ({"user_id": 1, "question": 2, "session_id": 3}, ["user_id", "question", "session_id"]),
    "empty": ({"user_id": "", "question": "", "session_id": ""}, ["user_id", "question", "session_id"]),
    "blank": (
        {"user_id": " ", "question": " \n\t", "session_id": " "},
        ["user_id", "question", "session_id"],
    ),
    "too long": (
        {"user_id": "u" * 129, "question": "q" * 32_769, "session_id": "s" * 129},
        ["user_id", "question", "session_id"],
    ),
    "unknown field": ({**ASKED, "temperature": 1}, ["temperature"]),
    "control characters": ({**ASKED, "user_id": "a\nb", "session_id": "\x00"}, ["user_id", "session_id"]),
    "invisible characters": (
        {**ASKED, "user_id": "a\u202eb", "session_id": "\u200b"},
        ["user_id", "session_id"],
    ),
    "text that was no text": ({**ASKED, "user_id": "\ufffd"}, ["user_id"]),
    "NUL in the question": ({**ASKED, "question": "a\0b"}, ["question"]),
}


@pytest.mark.parametrize(("body", "fields"), INVALID.values(), ids=INVALID.keys())
async def test_every_wrong_field_is_named(
    service: Service, client: httpx.AsyncClient, body: object, fields: list[str]
) -> None:
    """A body that fails validation is 422, names each field at once, and never reaches the agent."""
    response = await client.post(PATH, json=body)

    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == fields
    assert service.answering.queries == []


async def test_limits_are_inclusive(service: Service, client: httpx.AsyncClient) -> None:
    """What is exactly as long as allowed is accepted."""
    asked = {"user_id": "u" * 128, "question": "\U0001f600" * 32_768, "session_id": "s" * 128}

    response = await client.post(PATH, content=json.dumps(asked, ensure_ascii=False).encode(), headers=JSON)

    assert response.status_code == 200
    assert len(service.answering.queries) == 1


async def test_a_questions_limit_is_an_option(service: Service) -> None:
    """The question's length is bounded by the service's setting, and the refusal says by how much."""
    async with service.client(options=ApiOptions(max_question_chars=5)) as client:
        response = await client.post(PATH, json={**ASKED, "question": "123456"})

    assert response.json()["errors"] == [{"field": "question", "problem": "must have at most 5 characters"}]


async def test_many_unknown_fields_are_answered_briefly(client: httpx.AsyncClient) -> None:
    """The refusal does not grow with what was sent."""
    response = await client.post(PATH, json={f"{number}-{'x' * 1000}": 1 for number in range(100)})

    assert response.status_code == 422
    assert len(response.content) < 5_000


async def test_a_flood_of_fields_is_not_looked_at(client: httpx.AsyncClient) -> None:
    """An object with far too many fields is refused as a whole, because naming each costs time."""
    response = await client.post(PATH, json=dict.fromkeys(map(str, range(101))))

    assert response.status_code == 422
    assert response.json()["errors"] == [{"field": "body", "problem": "must have at most 100 fields"}]


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", 'APPLICATION/JSON;charset="UTF-8"'],
)
async def test_json_may_be_declared_in_several_ways(client: httpx.AsyncClient, content_type: str) -> None:
    """Case and an explicit UTF-8 do not matter."""
    response = await client.post(PATH, content=json.dumps(ASKED), headers={"Content-Type": content_type})

    assert response.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{}, *({"Content-Type": value} for value in ("text/plain", "application/json; charset=latin-1", "json"))],
)
async def test_a_body_that_is_not_declared_as_json_is_refused(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    """Another content type, or none, is 415 and says what to send."""
    response = await client.post(PATH, content=json.dumps(ASKED).encode(), headers=headers)

    assert response.status_code == 415
    assert "application/json" in response.json()["detail"]


async def test_a_body_declared_too_long_is_refused_unread(service: Service) -> None:
    """A Content-Length over the limit is 413 before a byte is read."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"1048577")]
    connection = service.connection(PATH, headers=headers)
    connection.arrives(b"{")

    await connection.serve()

    assert connection.sent[0]["status"] == 413
    assert connection.body_parts_unread == 1


@pytest.mark.parametrize("declared", [[], [(b"content-length", b"5")], [(b"content-length", b"9" * 5000)]])
async def test_a_body_is_counted_while_it_is_read(
    service: Service, declared: list[tuple[bytes, bytes]]
) -> None:
    """Without a truthful Content-Length, reading stops as soon as the limit is passed."""
    connection = service.connection(PATH, headers=[(b"content-type", b"application/json"), *declared])
    for _ in range(5):
        connection.arrives(b" " * 524_288, more_body=True)

    await connection.serve()

    assert connection.sent[0]["status"] == 413
    assert connection.body_parts_unread == 2


async def _in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), 7):
        yield body[at : at + 7]


async def test_a_body_may_come_in_pieces(service: Service, client: httpx.AsyncClient) -> None:
    """A chunked body within the limit is read whole."""
    response = await client.post(PATH, content=_in_pieces(json.dumps(ASKED).encode()), headers=JSON)

    assert response.status_code == 200
    assert service.answering.queries[0].question == ASKED["question"]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NEAR_QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "user_id": st.text(max_size=140) | JSON_VALUES,
        "question": st.text(st.characters()) | JSON_VALUES,
        "session_id": st.text(max_size=140) | JSON_VALUES,
        "more": JSON_VALUES,
    },
)
BODIES = (
    st.binary(max_size=200)
    | NEAR_QUERIES.map(json.dumps).map(str.encode)
    | JSON_VALUES.map(json.dumps).map(str.encode)
)


@given(body=BODIES)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_body_breaks_the_service(service: Service, body: bytes) -> None:
    """Whatever is sent, the answer is 200 or a documented refusal as a problem document."""
    async with service.client() as client:
        response = await client.post(PATH, content=body, headers=JSON)

    if response.status_code != 200:
        assert response.status_code in {400, 422}
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["error"] == "invalid_request"
        assert response.json()["status"] == response.status_code


@pytest.mark.parametrize(("header", "expected"), [("12", 12), ('"12"', 12), ("0", 0), (None, None)])
async def test_the_expected_seq_may_be_quoted(
    service: Service, client: httpx.AsyncClient, header: str | None, expected: int | None
) -> None:
    """If-Match is a number as people write it, or an entity tag as RFC 9110 has it."""
    headers = {} if header is None else {"If-Match": header}
    response = await client.post(PATH, json=ASKED, headers=headers)

    assert response.status_code == 200
    assert service.answering.queries[0].expected_seq == expected


@pytest.mark.parametrize("header", ["*", "", '"12', "-1", "1.5", '"1", "2"', 'W/"1"', "9" * 19, "\xb2"])
async def test_an_expected_seq_that_names_no_turn_is_refused(
    service: Service, client: httpx.AsyncClient, header: str
) -> None:
    """What does not say one seq is a mistake to tell, not to guess at."""
    named = {b"If-Match": header.encode("latin-1")}
    response = await client.post(PATH, json=ASKED, headers=named)

    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "If-Match"
    assert service.answering.queries == []


def _object(fields: list[tuple[str, str]]) -> bytes:
    return ("{" + ",".join(f"{name}:{value}" for name, value in fields) + "}").encode()


NAMES = st.sampled_from(["user_id", "question", "session_id", "session_id", "other"])
PIECES = st.sampled_from(["a", '"', "\\", "\n", "\N{SNOWMAN}", "u0022", ":", ","])
TEXTS = st.lists(PIECES, min_size=1, max_size=6).map("".join)
PAIRS = st.tuples(
    NAMES.map(json.dumps) | st.sampled_from([r'"user\u005fid"', r'"\u0071uestion"']),
    st.builds(json.dumps, TEXTS, ensure_ascii=st.booleans())
    | st.sampled_from(["null", r'"\u0022"', "1", "{}"]),
)
REQUIRED = st.tuples(PAIRS, PAIRS, PAIRS).map(list) | st.lists(PAIRS, max_size=5)
PLAIN = st.tuples(
    st.builds(lambda text: ('"user_id"', json.dumps(text)), TEXTS),
    st.builds(lambda text: ('"question"', json.dumps(text)), TEXTS),
).map(list)


def _request(body: bytes) -> Request:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", b"application/json")]
    return Request({"type": "http", "headers": headers}, receive)


async def _outcome(reading: Awaitable[QueryRequest]) -> object:
    try:
        return await reading
    except ServiceError as error:
        return type(error), str(error), getattr(error, "fields", ())


async def _slowly(body: bytes) -> QueryRequest:
    read = await read_json(_request(body), max_bytes=10_000)
    return validated(QueryRequest, read, {"max_question_chars": 100})


@given(fields=st.builds(lambda plain, more: [*plain, *more], PLAIN, REQUIRED) | REQUIRED | PLAIN)
@settings(max_examples=500, deadline=None)
async def test_reading_fast_finds_what_reading_carefully_finds(fields: list[tuple[str, str]]) -> None:
    """A name that occurs twice is found however names and texts are escaped, and so is all else."""
    body = _object(fields)
    fast = read_valid_json(
        QueryRequest, _request(body), max_bytes=10_000, context={"max_question_chars": 100}
    )

    assert await _outcome(fast) == await _outcome(_slowly(body))
