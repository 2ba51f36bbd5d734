"""The headers that the OpenAPI document describes: those of answers and those that callers may send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_service.api.problems import RETRY_AFTER_CODES
from agent_service.core.errors import RateLimitedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_service.core.errors import ServiceError

Document = dict[str, Any]

EXAMPLE_REQUEST_ID = "6f1c1c5e-0f43-4b43-9d0a-3d0f5c1e2b7a"

RATE_LIMIT = ("RateLimit", "RateLimit-Policy")
"""On answers to queries, where there are limits."""


def references(names: Sequence[str]) -> Document:
    """Headers of an answer, by name."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def headers_of_problems(those: Sequence[ServiceError]) -> list[str]:
    """The names of the headers that the answers to ``those`` have beyond those of every answer."""
    names = ["Retry-After"] if any(error.code in RETRY_AFTER_CODES for error in those) else []
    names += RATE_LIMIT if any(isinstance(error, RateLimitedError) for error in those) else ()
    return names


def component_headers() -> Document:
    """Headers of answers, by name."""
    return {
        "X-Request-ID": {
            "description": "Identity of the request, in every answer and in the service's logs.",
            "schema": {"type": "string"},
            "example": EXAMPLE_REQUEST_ID,
        },
        "Retry-After": {
            "description": "Seconds to wait before the same request is sent again.",
            "schema": {"type": "integer", "minimum": 1},
            "example": 1,
        },
        "Idempotency-Replayed": {
            "description": "Present when the answer was given before, to the same Idempotency-Key.",
            "schema": {"const": "true"},
            "example": "true",
        },
        "RateLimit": {
            "description": "Of each limit that holds for the query, how much is left (`r`) and in how many "
            "seconds there is more (`t`): draft-ietf-httpapi-ratelimit-headers.",
            "schema": {"type": "string"},
            "example": '"key-minute";r=59;t=61',
        },
        "RateLimit-Policy": {
            "description": "Of the same limits, how much is allowed (`q`) in a window of `w` seconds.",
            "schema": {"type": "string"},
            "example": '"key-minute";q=60;w=60',
        },
    }


def component_parameters() -> Document:
    """Headers of requests, by name."""
    return {
        "X-Request-ID": {
            "name": "X-Request-ID",
            "in": "header",
            "description": "Your own identity for the request: 1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-'. "
            "Anything else is replaced.",
            "schema": {"type": "string"},
        },
        "X-Request-Timeout": {
            "name": "X-Request-Timeout",
            "in": "header",
            "description": "Seconds you will wait; shortens the service's own limit, never lengthens it.",
            "schema": {"type": "number", "exclusiveMinimum": 0},
        },
        "If-Match": {
            "name": "If-Match",
            "in": "header",
            "description": "The seq of the last turn you know of, plain or quoted; 0 when there is none. "
            "At any other the question is refused, before any call of a model.",
            "schema": {"type": "string", "pattern": '^("[0-9]{1,18}"|[0-9]{1,18})$'},
            "example": "8",
        },
        "Last-Event-ID": {
            "name": "Last-Event-ID",
            "in": "header",
            "description": "The id of the last event that you have; all of them when left out.",
            "schema": {"type": "string", "pattern": "^[0-9]{1,15}$"},
            "example": "12",
        },
        "Idempotency-Key": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "A key of your own for this question, 1 to 255 visible ASCII characters, plain or "
            "quoted. Sent again within 24 hours with the same body it gets the same answer and nothing runs.",
            "schema": {
                "type": "string",
                "maxLength": 512,
                "pattern": r'^(?:[!#-~][!-~]{0,254}|"(?:[!#-\[\]-~]|\\["\\]){1,255}")$',
            },
            "example": "8e03978e-40d5-43dd-bc93-6894a57f9324",
        },
    }
