"""Reading what a caller sent: a JSON body, parameters, the time limit. Refusals name what is allowed."""

from __future__ import annotations

import json
import math
import re
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
from agent_service.runtime.idempotency import HEADER as IDEMPOTENCY_HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

TIMEOUT_HEADER = "X-Request-Timeout"
EXPECTED_SEQ_HEADER = "If-Match"

_Model = TypeVar("_Model", bound=BaseModel)
_CHARSETS = frozenset({"", "charset=utf-8", 'charset="utf-8"'})
_SEQ = re.compile(r'("?)([0-9]{1,18})\1')
_PLAIN_KEY = re.compile(r"[!#-~][!-~]*")
_QUOTED_KEY = re.compile(r'"((?:[!#-[\]-~]|\\["\\])+)"')
_ESCAPED = re.compile(rb"\\.")
_MAX_KEY_CHARS = 255
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
    return _parsed(await read_json_body(request, max_bytes=max_bytes))


async def read_json_body(request: Request, *, max_bytes: int) -> bytes:
    """The body as it came.

    Raises:
        ServiceError: as ``read_json``, but what is in it is not looked at.
        starlette.requests.ClientDisconnect: the client left meanwhile.
    """
    _check_content_type(request.headers.get("content-type", ""))
    return await _read_body(request, max_bytes)


async def read_valid_json(
    model: type[_Model], request: Request, *, max_bytes: int, context: Mapping[str, Any]
) -> _Model:
    """What ``read_json`` reads, ``validated``, at a fraction of the cost; all fields are texts or null.

    Raises:
        ServiceError: as the two do.
        starlette.requests.ClientDisconnect: the client left meanwhile.
    """
    body = await read_json_body(request, max_bytes=max_bytes)
    try:
        found = model.model_validate_json(body, context=context)
    except ValidationError:
        return validated(model, _parsed(body), context)
    return found if _has_each_name_once(body, found) else validated(model, _parsed(body), context)


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


def read_expected_seq(request: Request) -> int | None:
    """The seq that the caller knows the conversation at (RFC 9110, 13.1.1), or None when it asks for none.

    Raises:
        InvalidRequestError: it is not one plain or quoted number; ``*`` and lists would not say which turn.
    """
    texts = request.headers.getlist(EXPECTED_SEQ_HEADER)
    if not texts:
        return None
    if len(texts) == 1 and (found := _SEQ.fullmatch(texts[0])):
        return int(found[2])
    field = FieldProblem(EXPECTED_SEQ_HEADER, 'must be the seq of the last turn, such as 12 or "12"')
    raise InvalidRequestError(f"The {EXPECTED_SEQ_HEADER} header is not valid.", fields=(field,))


def read_idempotency_key(request: Request) -> str | None:
    """The key that makes a repeated request harmless, or None when there is none.

    A quoted one is read as a string of structured fields (RFC 9651, 3.3.3), any other as it is.

    Raises:
        InvalidRequestError: it is not one key of 1 to 255 visible ASCII characters.
    """
    texts = request.headers.getlist(IDEMPOTENCY_HEADER)
    if not texts:
        return None
    quoted = _QUOTED_KEY.fullmatch(texts[0])
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else texts[0]
    if len(texts) == 1 and len(key) <= _MAX_KEY_CHARS and (quoted or _PLAIN_KEY.fullmatch(key)):
        return key
    field = FieldProblem(IDEMPOTENCY_HEADER, "must be 1 to 255 visible ASCII characters")
    raise InvalidRequestError(f"The {IDEMPOTENCY_HEADER} header is not valid.", fields=(field,))


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


def _has_each_name_once(body: bytes, found: BaseModel) -> bool:
    """Whether ``body`` holds no more quotes than what was ``found`` in it: each name brings two or four."""
    given = found.model_fields_set
    texts = len(given) + sum(getattr(found, name) is not None for name in given)
    return _ESCAPED.sub(b"", body).count(b'"') == 2 * texts


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
