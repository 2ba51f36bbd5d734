"""DSPy's own types as texts: an image is a URL, a sound or a file is a data URI, code is its text.

DSPy can load an image from a path or download it. A caller's text never gets that far: what is neither a
public URL nor a data URI is refused here, and the value is made of the text alone.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from dataclasses import dataclass
from functools import partial
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin
from urllib.parse import urlsplit

import dspy
from pydantic_core import PydanticCustomError, core_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

_BASE64 = r"[A-Za-z0-9+/]+={0,2}"
_IMAGE = rf"^(?:https?://\S+|data:image/[a-z0-9.+-]+;base64,{_BASE64})$"
_AUDIO = rf"^data:audio/[a-z0-9.+-]+;base64,{_BASE64}$"
_FILE = rf"^data:[a-z0-9.+-]+/[a-z0-9.+-]+;base64,{_BASE64}$"
_AN_IMAGE = "a public http(s) URL, or a data URI of an image"
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE)
_LOCAL_DOMAINS = frozenset(
    {"arpa", "home", "internal", "intranet", "lan", "local", "localdomain", "localhost"}
)


@dataclass(frozen=True)
class _Text:
    """Reads a text as a value of one of DSPy's types; the annotation that says so."""

    make: Callable[[str], Any]
    description: str
    pattern: str | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        del source, handler
        return core_schema.no_info_after_validator_function(self._read, core_schema.str_schema(strict=True))

    def _read(self, text: str) -> Any:
        if self.pattern is not None and re.fullmatch(self.pattern, text) is None:
            raise _refused(self.description)
        return self.make(text)

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        del schema, handler
        told = {"type": "string", "description": self.description, "pattern": self.pattern}
        return {name: value for name, value in told.items() if value is not None}


def as_texts(annotation: Any) -> Any:
    """``annotation`` with DSPy's types, wherever they stand in it, read from texts."""
    if isinstance(annotation, type) and not get_args(annotation):
        text = _text_of(annotation)
        return annotation if text is None else Annotated[annotation, text]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal or not inner:
        return annotation
    if origin is Annotated:
        return annotated(as_texts(inner[0]), inner[1:])
    changed = tuple(as_texts(part) for part in inner)
    if all(new is old for new, old in zip(changed, inner, strict=True)):
        return annotation
    # A tuple of types has no | between them.
    return Union[changed] if origin in {Union, UnionType} else origin[changed]  # noqa: UP007 - as said


def annotated(kind: Any, metadata: Iterable[Any]) -> Any:
    """``Annotated`` with these, for Python versions that cannot unpack them there."""
    return functools.reduce(lambda known, more: Annotated[known, more], metadata, kind)


def text_of(value: dspy.Type) -> Any:
    """The text that stands for a value of one of DSPy's types; of others, their fields."""
    match value:
        case dspy.Image():
            return value.url
        case dspy.Audio():
            return f"data:audio/{value.audio_format};base64,{value.data}"
        case dspy.File(file_data=str()):
            return value.file_data
        case dspy.Code():
            return value.code
        case dspy.Reasoning():
            return value.content
        case _:
            return dict(vars(value))


def _text_of(kind: Any) -> _Text | None:
    if issubclass(kind, dspy.Image):
        return _Text(partial(_image, kind), _AN_IMAGE, _IMAGE)
    if issubclass(kind, dspy.Audio):
        return _Text(partial(_audio, kind), "a data URI of a sound", _AUDIO)
    if issubclass(kind, dspy.File):
        return _Text(lambda uri: kind(file_data=uri), "a data URI of a file", _FILE)
    if issubclass(kind, dspy.Code):
        return _Text(lambda code: kind(code=code), f"code in {kind.language}")
    if issubclass(kind, dspy.Reasoning):
        return _Text(lambda content: kind(content=content), "a text")
    return None


def _image(kind: type, url: str) -> Any:
    if not url.startswith("data:") and not is_public(url):
        raise _refused(_AN_IMAGE)
    return kind(url=url)


def _refused(wanted: str) -> PydanticCustomError:
    return PydanticCustomError("text", "must be {wanted}", {"wanted": wanted})


def _audio(kind: type, uri: str) -> Any:
    head, _, data = uri.partition(";base64,")
    return kind(data=data, audio_format=head.partition("/")[2].removeprefix("x-"))


def is_public(url: str) -> bool:
    """Whether a URL names no host of a private network: some providers' clients fetch it from here.

    A public name that resolves to a private address is not found out.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        if parts.scheme not in {"http", "https"} or "@" in parts.netloc or "\\" in url or not host:
            return False
        return ipaddress.ip_address(host).is_global
    except ValueError:
        labels = url.split("/")[2].partition(":")[0].rstrip(".").lower().split(".")
    return len(labels) > 1 and labels[-1] not in _LOCAL_DOMAINS and _NUMBER.fullmatch(labels[-1]) is None
