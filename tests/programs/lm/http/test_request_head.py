"""Which requests are plain, and what is sent for them."""

from __future__ import annotations

import pytest
from dspy._vendor.lm15.transports import ProtocolError, TransportRequest

from agent_service.programs.lm.http.request_head import RequestHead

KEY = ("Authorization", "Bearer sk-1")


def test_a_whole_request() -> None:
    """The head is made once; only length and body differ."""
    head = RequestHead.of(TransportRequest("POST", "https://host.test/v1/x?a=b", [KEY]))
    assert b"".join(head.with_body(b"{}")) == (
        b"POST /v1/x?a=b HTTP/1.1\r\nHost: host.test\r\nUser-Agent: lm15/stdlib\r\nAccept: */*\r\n"
        b"Accept-Encoding: identity\r\nAuthorization: Bearer sk-1\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert head.origin == (True, "host.test", 443)
    assert b"Content-Length: 0\r\n" in b"".join(head.with_body(b""))
    bare = RequestHead.of(TransportRequest("GET", "http://[::1]:81", []))
    assert b"Host: [::1]:81\r\n" in bare.lines
    assert b"Content-Length" not in b"".join(bare.with_body(b""))


def test_a_body_is_sent_as_it_is() -> None:
    """A thousand calls under way do not hold a second copy of each prompt."""
    body = b'{"model": "m"}'
    head = RequestHead.of(TransportRequest("POST", "https://host.test/", [KEY]))
    assert head.with_body(body)[-1] is body


def test_own_headers_come_before_the_standard_ones() -> None:
    """Each once."""
    request = TransportRequest("GET", "http://host.test/", [("accept", "text/event-stream"), ("HOST", "h")])
    lines = RequestHead.of(request).lines.lower()
    assert lines.count(b"accept:") == lines.count(b"host:") == 1


def test_it_fits_requests_that_differ_in_the_body_only() -> None:
    """A changed key, also in the same list, makes another head."""
    request = TransportRequest("POST", "http://host.test/", [KEY], b"1")
    head = RequestHead.of(request)
    assert head.fits(TransportRequest("POST", "http://host.test/", [KEY], b"2"))
    assert not head.fits(TransportRequest("GET", "http://host.test/", [KEY]))
    assert not head.fits(TransportRequest("POST", "http://host.test/1", [KEY]))
    request.headers[0] = ("Authorization", "Bearer sk-2")
    assert not head.fits(request)
    assert "sk-1" not in repr(head)


@pytest.mark.parametrize(
    "header", [("X", "sk\r\nb: c"), ("X", "sk\nb"), ("X", "sk\0"), ("X\r\nY", "sk"), ("X ", "sk"), ("", "sk")]
)
def test_no_header_smuggles_another_in(header: tuple[str, str]) -> None:
    """And the error says nothing of its value."""
    with pytest.raises(ProtocolError) as refused:
        RequestHead.of(TransportRequest("GET", "http://host.test/", [KEY, header]))
    assert "sk" not in str(refused.value)


@pytest.mark.parametrize(
    "request_",
    [
        TransportRequest("CONNECT", "http://host.test/"),
        TransportRequest("GET", "http://user:pass@host.test/"),
        TransportRequest("GET", "http://bücher.test/"),
        TransportRequest("GET", "http://host.test/a b"),
        TransportRequest("GET", "http://host.test/a\r\nb"),
        TransportRequest("GET", "http://host.test/#part"),
        TransportRequest("GET", "ftp://host.test/"),
        TransportRequest("GET", "http://host.test/", [("Transfer-Encoding", "chunked")]),
        TransportRequest("GET", "http://host.test/", [("content-length", "7")]),
    ],
)
def test_what_is_more_than_plain_is_left_to_the_library(request_: TransportRequest) -> None:
    """Names in other scripts, credentials in addresses, framing of one's own."""
    assert not RequestHead.suits(request_)
    assert RequestHead.suits(TransportRequest("POST", "https://host.test:8/v1?x=%20&y", [KEY]))


def test_more_headers_go_with_one_request_only() -> None:
    """The head that others use stays as it is."""
    request = TransportRequest("POST", "http://host.test/", [KEY])
    head = RequestHead.of(request)
    traced = head.with_headers([("traceparent", "00-1"), ("tracestate", "a=1")])
    lines = b"".join(traced.with_body(b"{}")).partition(b"\r\n\r\n")[0]
    assert lines.endswith(b"Bearer sk-1\r\ntraceparent: 00-1\r\ntracestate: a=1\r\nContent-Length: 2")
    assert traced.fits(request)
    assert traced.origin == head.origin
    assert b"trace" not in head.lines
