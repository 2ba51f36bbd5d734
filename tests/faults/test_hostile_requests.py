"""Request lines and heads that no honest client sends (rows B1, B2, N2 and N5)."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.faults.aftermath import assert_unharmed
from tests.faults.raw_http import connect, exchange, get, post, query, read_all, replies
from tests.processes import Service

if TYPE_CHECKING:
    from collections.abc import Iterator

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
QUERY = b"POST /api/v1/query HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
CHUNKED = QUERY + b"Connection: close\r\nTransfer-Encoding: chunked\r\n"
PIPELINED = b"GET /api/v1/live HTTP/1.1\r\nHost: a\r\n\r\n"

NOT_HTTP = {
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "TLS": b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\0" * 100,
    "NULs": b"\0" * 1000,
    "every byte": bytes(range(256)) * 4,
    "HTTP/9.9": b"GET / HTTP/9.9\r\n\r\n",
    "bare line feeds": b"GET /api/v1/live HTTP/1.1\nHost: a\n\n",
    "a method of its own": get(b"/api/v1/live", method=b"BREW"),
    "a method of 5000 letters": get(b"/api/v1/live", method=b"X" * 5000),
    "a NUL in the method": get(b"/api/v1/live", method=b"G\0ET"),
    "a space in the path": get(b"/a b"),
    "no path": get(b""),
    "a raw byte in the path": get(b"/api/v1/users/\xff/history"),
    "a folded header": get(b"/api/v1/live", X_Request_ID=b"a\r\n b"),
    "a space before the colon": b"GET /api/v1/live HTTP/1.1\r\nHost : a\r\n\r\n",
    "length and chunks": CHUNKED + b"Content-Length: 3\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + PIPELINED,
    "two lengths": QUERY + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x" + PIPELINED,
    "a negative length": QUERY + b"Content-Length: -1\r\n\r\n",
    "a signed length": QUERY + b"Content-Length: +2\r\n\r\n{}",
    "a length beyond all integers": QUERY + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "a chunk without a number": CHUNKED + b"\r\nZZ\r\n{}\r\n0\r\n\r\n",
    "a negative chunk": CHUNKED + b"\r\n-1\r\n{}\r\n0\r\n\r\n",
    "a chunk beyond all integers": CHUNKED + b"\r\nffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "chunks twice": CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "an unknown coding": QUERY + b"Transfer-Encoding: gzip\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
}
TOO_LONG = {
    "a URL": (get(b"/" + b"x" * 9000), 414),
    "a query string": (get(b"/api/v1/live?" + b"x" * 9000), 414),
    "one header": (get(b"/api/v1/live", X_A=b"x" * 40_000), 431),
    "an unfinished header": (b"GET / HTTP/1.1\r\nX-A: " + b"x" * 300_000, 431),
    "many headers": (get(b"/api/v1/live", **{f"X_{n}": b"1" for n in range(200)}), 431),
    "a declared body": (QUERY + b"Connection: close\r\nContent-Length: 9999999999\r\n\r\n", 413),
}
USER_IDS = {
    b"%00": 422,
    b"%1b[31m": 422,
    b"%ff": 422,
    b"%ed%a0%80": 422,
    b"%c0%af": 422,
    b"%EF%BF%BD": 422,
    b"%E2%80%AE": 422,
    b"%20": 422,
    b"": 422,
    b"a" * 129: 422,
    b"%0d%0aX-Evil:1": 404,
    b"a?session_id=%00": 404,
    b"%": 200,
    b"%zz": 200,
    b"%u0041": 200,
    b"%252e%252e%252f": 200,
    b"..": 200,
    b"..%2f..%2fetc": 200,
    b"a%3Fb%23": 200,
}
PARAMETERS = (
    b"limit=" + b"9" * 5000,
    b"limit=1e3",
    b"limit=NaN",
    b"limit=%00",
    b"limit=1&limit=2",
    b"before_seq=9223372036854775808",
    b"before_seq=-1",
    b"session_id=%00",
    b"session_id=%ed%a0%80",
    b"user_id=bob",
    b"config=x",
    b"=" * 100,
    b"&".join(b"f%d=1" % n for n in range(900)),
)
FILES = (
    b"/docs/assets/../../../../../../etc/passwd",
    b"/docs/assets/..%2f..%2f..%2fetc%2fpasswd",
    b"/docs/assets/%2e%2e/%2e%2e/app.py",
    b"/docs/assets/..\\..\\app.py",
    b"/docs/assets/....//app.py",
    b"/docs/assets/swagger-ui.css%00.png",
    b"/docs/assets//etc/passwd",
    b"//etc/passwd",
    b"/../../etc/passwd",
    b"/api/v1/live%00",
    b"*",
)
REQUEST_IDS = (
    b"x" * 10_000,
    b"%0d%0aX-Evil: 1",
    "\u2028\u00fc\U0001f600".encode(),
    b'{"event":"forged"}',
    b"a b",
    b"",
)
CONTROLS = (b"a\nX-Evil: 1", b"a\rb", b"a\0b", b"\x1b[31mred")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = Service(tmp_path_factory.mktemp("hostile"))
    yield running
    running.close()


@pytest.mark.parametrize("request_bytes", NOT_HTTP.values(), ids=NOT_HTTP)
def test_what_is_no_http_request_is_refused_once(service: Service, request_bytes: bytes) -> None:
    """One problem document, then the connection is closed: nothing after it is taken for a request."""
    [reply] = exchange(service.url(), request_bytes)

    assert (reply.status, reply.problem["error"]) == (400, "invalid_request")
    assert_unharmed(service)


@pytest.mark.parametrize(("request_bytes", "status"), TOO_LONG.values(), ids=TOO_LONG)
def test_what_is_too_long_is_refused_before_it_is_read(
    service: Service, request_bytes: bytes, status: int
) -> None:
    """The limit that was broken has its own status."""
    [reply] = exchange(service.url(), request_bytes)

    assert reply.status == reply.problem["status"] == status
    assert_unharmed(service)


@pytest.mark.parametrize(("user_id", "status"), USER_IDS.items())
def test_a_strange_user_id_is_a_name_or_a_refusal(service: Service, user_id: bytes, status: int) -> None:
    """It is no path, no header and no second parameter."""
    [reply] = exchange(service.url(), get(b"/api/v1/users/" + user_id + b"/history"))

    assert reply.status == status
    assert "x-evil" not in reply.headers
    assert status == 200 or reply.problem["error"] in {"invalid_request", "not_found"}
    assert_unharmed(service)


@pytest.mark.parametrize("parameters", PARAMETERS, ids=range(len(PARAMETERS)))
def test_strange_parameters_are_refused(service: Service, parameters: bytes) -> None:
    """Numbers that are none, names that are unknown, and everything twice."""
    [reply] = exchange(service.url(), get(b"/api/v1/users/ada/history?" + parameters))

    assert (reply.status, reply.problem["error"]) == (422, "invalid_request")
    assert_unharmed(service)


@pytest.mark.parametrize("target", FILES)
def test_no_path_leads_to_a_file(service: Service, target: bytes) -> None:
    """Only the named assets are served."""
    [reply] = exchange(service.url(), get(target))

    assert (reply.status, reply.problem["error"]) == (404, "not_found")
    assert b"root:" not in reply.body


@pytest.mark.parametrize(
    "method", [b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"PROPFIND"]
)
def test_methods_that_are_not_offered_are_refused(service: Service, method: bytes) -> None:
    """405 says what is allowed; TRACE echoes nothing."""
    [reply] = exchange(service.url(), get(b"/api/v1/query", method=method, X_Secret=b"canary"))

    assert (reply.status, reply.problem["error"]) == (405, "method_not_allowed")
    assert reply.headers["allow"] == "POST"
    assert b"canary" not in reply.body


def test_http_1_0_is_served_and_its_connection_closed(service: Service) -> None:
    """Old clients get their answer."""
    body = b'{"user_id":"old","question":"What is 2+2?"}'
    head = b"POST /api/v1/query HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"

    [reply] = exchange(service.url(), head % len(body) + body)

    assert reply.status == 200


@pytest.mark.parametrize("upgrade", [b"h2c", b"websocket"])
def test_an_upgrade_is_not_taken(service: Service, upgrade: bytes) -> None:
    """The request is answered in the protocol it came in, or refused in it."""
    [reply] = exchange(service.url(), query(Upgrade=upgrade, HTTP2_Settings=b"AAMAAABkAAQAAP__"))

    assert reply.status in {200, 400}
    assert "upgrade" not in reply.headers


@pytest.mark.parametrize("request_id", REQUEST_IDS, ids=range(len(REQUEST_IDS)))
def test_a_request_id_that_is_none_is_replaced(service: Service, request_id: bytes) -> None:
    """No header of the answer holds what the caller wrote, and there is one answer."""
    [reply] = exchange(service.url(), query(X_Request_ID=request_id))

    assert reply.status == 200
    assert _UUID.fullmatch(reply.headers["x-request-id"])
    assert "x-evil" not in reply.headers


@pytest.mark.parametrize("request_id", CONTROLS)
def test_control_characters_in_a_header_are_refused(service: Service, request_id: bytes) -> None:
    """The parser ends what would split the head."""
    [reply] = exchange(service.url(), query(X_Request_ID=request_id))

    assert reply.status == 400
    assert "x-evil" not in reply.headers


def test_a_line_break_in_a_request_id_is_another_header_of_the_request(service: Service) -> None:
    """It is not repeated in the answer."""
    [reply] = exchange(service.url(), query(X_Request_ID=b"a\r\nX-Evil: 1"))

    assert reply.headers["x-request-id"] == "a"
    assert "x-evil" not in reply.headers


@pytest.mark.parametrize(
    "seconds", [b"0", b"-1", b"nan", b"inf", b"1e-400", b"9" * 5000, b"0x10", b"1;2", b" "]
)
def test_a_time_limit_that_is_none_is_refused(service: Service, seconds: bytes) -> None:
    """Only a positive, finite number of seconds is one."""
    [reply] = exchange(service.url(), query(X_Request_Timeout=seconds))

    assert (reply.status, reply.problem["error"]) == (422, "invalid_request")


def test_slow_clients_are_cut_and_hold_up_nobody(service: Service) -> None:
    """A hundred heads and bodies that never end cost others nothing; the heads are closed in time."""
    heads = [b"", b"P", b"POST /api/v1/query HTTP/1.1\r\nHost: a\r\nX-A: "] * 25
    bodies = [QUERY + b"Content-Length: 100\r\n\r\n{"] * 25
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(service.url(), seconds=20)) for _ in (*heads, *bodies)]
        for connection, begun in zip(slow, (*heads, *bodies), strict=True):
            connection.sendall(begun)
        started = time.monotonic()
        assert_unharmed(service)
        assert time.monotonic() - started < 1

        statuses = [[reply.status for reply in replies(read_all(at))] for at in slow[: len(heads)]]

        assert time.monotonic() - started < 14
    assert statuses == [[], [408], [408]] * 25
    assert_unharmed(service)


def test_a_refused_request_does_not_take_the_next_one_with_it(service: Service) -> None:
    """A kept connection goes on after a refusal, request by request."""
    with connect(service.url()) as connection:
        connection.sendall(post(b"[]").replace(b"Connection: close\r\n", b"") + query())

        refused, answered = replies(read_all(connection))

    assert (refused.status, answered.status) == (422, 200)
