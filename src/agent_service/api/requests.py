"""Reading what a caller sent: a JSON body, parameters, the time limit. Refusals name what is allowed."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from agent_service.core.errors import (
    FieldProblem,
    InvalidRequestError,
    MalformedRequestError,
    PayloadTooLargeError,
    UnsupportedMediaTypeError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

TIMEOUT_HEADER = "X-Request-Timeout"

_Model = TypeVar("_Model", bound=BaseModel)
_CHARSETS = frozenset({"", "charset=utf-8", 'charset="utf-8"'})
_MAX_PROBLEMS = 20
_MAX_FIELD_CHARS = 64
_MAX_FIELDS = 100
_TOO_MANY_FIELDS = (FieldProblem("body", f"must have at most {_MAX_FIELDS} fields"),)


async def read_json(request: Request, *, max_bytes: int) -> object:
    """The body as a JSON value.

    Raises:
        UnsupportedMediaTypeError: it is not declared as ``application/json``.
        PayloadTooLargeError: it is longer than ``max_bytes``, declared or counted.
        MalformedRequestError: it is no UTF-8 JSON (RFC 8259), or a name occurs twice in one object.
        starlette.requests.ClientDisconnect: the client left meanwhile.
    """
    _check_content_type(request.headers.get("content-type", ""))
    return _parsed(await _read_body(request, max_bytes))


def validated(model: type[_Model], values: object, context: Mapping[str, Any] | None = None) -> _Model:
    """``values`` as ``model``.

    Raises:
        InvalidRequestError: naming every field that is wrong, up to 20.
    """
    if isinstance(values, dict) and len(values) > _MAX_FIELDS:
        raise InvalidRequestError(f"Not valid: more than {_MAX_FIELDS} fields.", fields=_TOO_MANY_FIELDS)
    try:
        return model.model_validate(values, context=context)
    except ValidationError as error:
        raise _invalid(error) from None


def read_parameters(request: Request) -> dict[str, str]:
    """Path and query parameters by name.

    Raises:
        InvalidRequestError: a parameter is given more than once.
    """
    values: dict[str, str] = dict(request.path_params)
    for name, value in request.query_params.multi_items():
        if name in values:
            field = FieldProblem(name[:_MAX_FIELD_CHARS], "must be given only once")
            raise InvalidRequestError("A parameter is given more than once.", fields=(field,))
        values[name] = value
    return values


def read_timeout_seconds(request: Request) -> float | None:
    """The caller's own time limit, or None when there is none.

    Raises:
        InvalidRequestError: it is not a positive, finite number of seconds.
    """
    text = request.headers.get(TIMEOUT_HEADER)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        field = FieldProblem(TIMEOUT_HEADER, "must be a positive number of seconds, such as 2.5")
        raise InvalidRequestError(f"The {TIMEOUT_HEADER} header is not valid.", fields=(field,))
    return seconds


def _check_content_type(value: str) -> None:
    media_type, _, parameters = value.partition(";")
    if media_type.strip().lower() != "application/json" or parameters.strip().lower() not in _CHARSETS:
        raise UnsupportedMediaTypeError("Send the body as UTF-8 JSON with Content-Type: application/json.")


async def _read_body(request: Request, max_bytes: int) -> bytes:
    if _declared_bytes(request) > max_bytes:
        raise _too_large(max_bytes)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)


def _declared_bytes(request: Request) -> int:
    try:
        return int(request.headers.get("content-length", 0))
    except ValueError:
        return 0  # counting while reading decides


def _too_large(max_bytes: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(f"The body may have at most {max_bytes} bytes.")


def _parsed(body: bytes) -> object:
    if not body:
        raise MalformedRequestError("The body is empty; send a JSON object.")
    try:
        # This parser bounds the depth and refuses NaN and lone surrogates, but keeps the last of equal names.
        value: object = from_json(body, allow_inf_nan=False)
        _names_once.decode(body.decode())
    except ValueError as error:
        raise MalformedRequestError(f"The body is not valid JSON: {error}.") from None
    return value


def _refuse_repeated_names(pairs: list[tuple[str, object]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise ValueError(f"duplicate field {json.dumps(name[:_MAX_FIELD_CHARS])}")
        seen.add(name)


_names_once = json.JSONDecoder(object_pairs_hook=_refuse_repeated_names)


def _invalid(error: ValidationError) -> InvalidRequestError:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    fields = tuple(
        FieldProblem(".".join(map(str, at["loc"]))[:_MAX_FIELD_CHARS] or "body", at["msg"])
        for at in problems[:_MAX_PROBLEMS]
    )
    return InvalidRequestError(f"Not valid: {', '.join(at.field for at in fields)}.", fields=fields)
