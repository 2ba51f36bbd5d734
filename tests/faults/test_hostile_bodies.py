"""Bodies meant to break the parser, the validation or what comes after (row B1)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.faults.aftermath import assert_unharmed
from tests.faults.raw_http import exchange, post
from tests.processes import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

MALFORMED = {
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep within a field": b'{"user_id":"ada","question":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a number of 5000 digits": b'{"user_id":"ada","question":' + b"9" * 5000 + b"}",
    "a number of 500000 digits": b'{"user_id":"ada","question":"x","more":' + b"9" * 500_000 + b"}",
    "NaN": b'{"user_id":"ada","question":NaN}',
    "Infinity": b'{"user_id":"ada","question":"x","session_id":Infinity}',
    "-Infinity": b'{"user_id":-Infinity,"question":"x"}',
    "duplicate keys": b'{"user_id":"ada","user_id":"bob","question":"x"}',
    "duplicate keys in disguise": b'{"user_id":"ada","\\u0075ser_id":"bob","question":"x"}',
    "duplicate keys below": b'{"user_id":"ada","question":"x","more":{"a":1,"a":2}}',
    "a raw NUL": b'{"user_id":"ada","question":"a\0b"}',
    "a raw line break": b'{"user_id":"ada","question":"a\nb"}',
    "invalid UTF-8": b'{"user_id":"ada","question":"\xff\xfe"}',
    "an encoded surrogate": b'{"user_id":"ada","question":"\xed\xa0\x80"}',
    "an overlong slash": b'{"user_id":"ada","question":"\xc0\xaf"}',
    "a surrogate as a name": b'{"user_id":"ada","question":"x","\\ud800":1}',
    "a byte order mark": b'\xef\xbb\xbf{"user_id":"ada","question":"x"}',
    "UTF-16": '{"user_id":"ada","question":"x"}'.encode("utf-16"),
    "gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\xff",
    "nothing": b"",
    "only white space": b" \n\t ",
    "trailing text": b'{"user_id":"ada","question":"x"} x',
    "two objects": b'{"user_id":"ada","question":"x"}{}',
    "a comment": b'{"user_id":"ada","question":"x"/**/}',
    "single quotes": b"{'user_id':'ada','question':'x'}",
    "no end": b'{"user_id":"ada","question":"x',
}
INVALID = {
    "null": b"null",
    "a text": b'"x"',
    "a number": b"1e999999",
    "a list": b"[[]]",
    "50000 fields": b"{%s}" % b",".join(b'"f%d":1' % n for n in range(50_000)),
    "a name of 5000 characters": b'{"user_id":"ada","question":"x","' + b"9" * 5000 + b'":1}',
    "__proto__": b'{"user_id":"ada","question":"x","__proto__":{"admin":true}}',
    "a number as a user": b'{"user_id":1e400,"question":"x"}',
    "an object as a question": b'{"user_id":"ada","question":{"$ne":null}}',
    "a bidirectional override": '{"user_id":"ada\u202e","question":"x"}'.encode(),
}
FIELDS = ("user_id", "question", "session_id")
PRIVILEGED = (
    "config",
    "lm",
    "demos",
    "signature",
    "new_signature",
    "trace",
    "conversation",
    "history",
    "self",
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = Service(tmp_path_factory.mktemp("hostile"))
    yield running
    running.close()


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_json_is_refused_with_400(service: Service, body: bytes) -> None:
    """The parser neither breaks nor guesses, and repeats nothing of what it was sent."""
    [reply] = exchange(service.url(), post(body))

    assert (reply.status, reply.problem["error"]) == (400, "invalid_request")
    assert len(reply.body) < 600
    assert_unharmed(service)


@pytest.mark.parametrize("body", INVALID.values(), ids=INVALID)
def test_json_that_is_no_query_is_refused_with_422(service: Service, body: bytes) -> None:
    """What is wrong is named, in a few words."""
    [reply] = exchange(service.url(), post(body))

    assert (reply.status, reply.problem["error"]) == (422, "invalid_request")
    assert reply.problem["errors"]
    assert len(reply.body) < 1000
    assert_unharmed(service)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize(("escape", "status"), [("\\u0000", 422), ("\\ud800", 400), ("\\udfff", 400)])
def test_nul_and_halves_of_surrogate_pairs_are_refused(
    service: Service, field: str, escape: str, status: int
) -> None:
    """What no store and no provider takes is stopped at the door, in each field."""
    fields = {"user_id": "ada", "question": "x", "session_id": "s", field: "HERE"}
    body = json.dumps(fields).replace("HERE", f"a{escape}b").encode()

    [reply] = exchange(service.url(), post(body))

    assert (reply.status, reply.problem["error"]) == (status, "invalid_request")
    assert_unharmed(service)


def test_a_whole_surrogate_pair_is_a_character(service: Service) -> None:
    """Escapes that mean something are kept as what they mean."""
    [reply] = exchange(service.url(), post(b'{"user_id":"\\ud83d\\ude00","question":"hello \\ud83d\\ude00"}'))

    assert reply.status == 200
    assert json.loads(reply.body)["user_id"] == "\U0001f600"


@pytest.mark.parametrize("name", PRIVILEGED)
def test_no_field_reaches_dspys_privileged_arguments(service: Service, name: str) -> None:
    """What would send the key to another host, or words into the prompt, is an unknown field."""
    body = json.dumps({"user_id": "ada", "question": "x", name: {"api_base": "http://evil.example"}})

    [reply] = exchange(service.url(), post(body.encode()))

    assert reply.status == 422
    assert [at["field"] for at in reply.problem["errors"]] == [name]


def test_a_body_that_says_less_than_it_is_cannot_smuggle_a_request(service: Service) -> None:
    """What follows a refused body on a closing connection is no request."""
    smuggled = post(b'{"user_id":"eve","question":"x"}')

    [reply] = exchange(service.url(), post(b"{}") + smuggled)

    assert reply.status == 422
    assert service.client.get("/api/v1/users/eve/history").json()["turns"] == []


def test_prompts_over_the_limit_are_refused_before_the_model(service: Service) -> None:
    """One character more than allowed is 422; a body beyond its limit is 413, however it is sent."""
    long = json.dumps({"user_id": "ada", "question": "CANARY " * 5000}).encode()
    huge = b'{"user_id":"ada","question":"%s"}' % (b"CANARY " * 200_000)
    chunked = (
        b"POST /api/v1/query HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(huge), huge)
    )

    answers = [exchange(service.url(), request)[0] for request in (post(long), post(huge), chunked)]

    assert [answer.status for answer in answers] == [422, 413, 413]
    assert [answer.problem["error"] for answer in answers[1:]] == ["payload_too_large"] * 2
    assert not any(b"CANARY" in answer.body for answer in answers)
    assert_unharmed(service)
