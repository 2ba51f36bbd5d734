from __future__ import annotations

from agent_service.access.limits.headers import Quota, headers_of

MINUTE = Quota("key-minute", 60, 60, 12, 30.2)
HOUR = Quota("key-hour", 600, 3600, 599, 3630.0)
TOKENS = Quota("tokens-day", 1000, 86_400, 0, 5.0, "tokens")


def test_each_quota_is_told_as_the_draft_writes_it() -> None:
    """Structured fields: what is allowed in which window, what is left and when there is more."""
    headers = headers_of([MINUTE, HOUR, TOKENS])
    assert headers["RateLimit-Policy"] == (
        '"key-minute";q=60;w=60, "key-hour";q=600;w=3600, "tokens-day";q=1000;w=86400;qu="tokens"'
    )
    assert headers["RateLimit"] == ('"key-minute";r=12;t=31, "key-hour";r=599;t=3630, "tokens-day";r=0;t=5')


def test_openais_headers_tell_of_the_quota_that_is_met_first() -> None:
    """They know one for requests and one for tokens."""
    headers = headers_of([HOUR, MINUTE, TOKENS])
    assert {name: value for name, value in headers.items() if name.startswith("x-")} == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "12",
        "x-ratelimit-reset-requests": "31s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "5s",
    }


def test_without_a_quota_there_is_no_header() -> None:
    """Nothing is said of limits that are not there, or could not be checked."""
    assert headers_of([]) == {}
