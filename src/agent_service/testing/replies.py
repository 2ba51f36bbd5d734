"""A language model that follows a script: replies by the values of their fields, failures, silence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from dspy import lm15

from agent_service.programs.offline.prompt import input_names, input_values, output_fields, wants_json

if TYPE_CHECKING:
    from collections.abc import Iterable

SCRIPTED_MODEL = "scripted"
_CHARS_PER_TOKEN = 4


class ScriptError(AssertionError):
    """The program asked for what the script does not have."""


class _Silence(Enum):
    NEVER = "never"


NEVER = _Silence.NEVER
"""A reply that does not come: the call ends at its time limit, or with its query."""


@dataclass(frozen=True)
class ModelRequest:
    """What the program asked the language model.

    Attributes:
        system: the system message.
        text: the newest message.
        inputs: the input fields in it, as text.
        outputs: names of the fields that the reply must have.
    """

    system: str
    text: str
    inputs: Mapping[str, str]
    outputs: tuple[str, ...]


Reply: TypeAlias = Union[str, Mapping[str, Any], BaseException, _Silence, Callable[[ModelRequest], "Reply"]]  # noqa: UP007 - the name in quotes takes no | before Python 3.14
"""A text as it is; values by field; a failure; ``NEVER``; or a function that looks at the request first."""


def rate_limited(retry_after_seconds: float | None = None) -> BaseException:
    """A reply: the provider limits us."""
    error: BaseException = lm15.RateLimitError("scripted", status=429, retry_after=retry_after_seconds)
    return error


def unavailable() -> BaseException:
    """A reply: the provider answers 503."""
    error: BaseException = lm15.ServerError("scripted", status=503)
    return error


class NoSyncEngine:
    """The half of a DSPy engine that the service has no use for."""

    def complete(self, request: lm15.Request) -> lm15.Response:
        """Raise: everything goes through the service's seam."""
        raise NotImplementedError


class ScriptedModel:
    """The asynchronous half of a DSPy engine.

    Args:
        replies: one for each call, in order; or a function that gives them all.
    """

    def __init__(self, replies: Sequence[Reply] | Callable[[ModelRequest], Reply]) -> None:
        self.requests: list[ModelRequest] = []
        self.mistake: ScriptError | None = None
        self._each = replies if callable(replies) else None
        self._replies = [] if callable(replies) else list(replies)

    @property
    def unused(self) -> int:
        """How many replies are left."""
        return len(self._replies)

    def forgive(self) -> None:
        """Keep no mistake of an earlier query."""
        self.mistake = None

    async def complete(self, request: lm15.Request) -> lm15.Response:
        """Follow the script.

        Raises:
            ScriptError: when it has no fitting reply; ``mistake`` keeps it, as programs handle errors.
            Exception: the failure in the script.
        """
        seen = _seen(request)
        self.requests.append(seen)
        try:
            text = await self._text(seen)
        except ScriptError as error:
            self.mistake = self.mistake or error
            raise
        return _response(text, seen)

    async def _text(self, request: ModelRequest) -> str:
        reply = self._next(request)
        while callable(reply):
            reply = reply(request)
        if isinstance(reply, BaseException):
            raise reply
        if reply is NEVER:
            await asyncio.Event().wait()
        return reply if isinstance(reply, str) else _written(reply, request)  # type: ignore[arg-type] # NEVER does not come here

    def _next(self, request: ModelRequest) -> Reply:
        if self._each is not None:
            return self._each
        if not self._replies:
            asked = ", ".join(request.outputs) or "a text"
            raise ScriptError(
                f"the script has no reply number {len(self.requests)}, which is asked for {asked}"
            )
        return self._replies.pop(0)


def _seen(request: lm15.Request) -> ModelRequest:
    system = _text_of(request.system)
    text = _text_of(request.messages[-1].parts) if request.messages else ""
    return ModelRequest(
        system=system,
        text=text,
        inputs=input_values(input_names(system), text),
        outputs=tuple(field.name for field in output_fields(system)),
    )


def _written(values: Mapping[str, Any], request: ModelRequest) -> str:
    """The values in the form that the adapter asks for: that of DSPy's ChatAdapter or of its JSONAdapter."""
    if set(values) != set(request.outputs):
        asked = ", ".join(request.outputs) or "no fields that could be told"
        raise ScriptError(f"the program asks for {asked}; the script's reply has {', '.join(values)}")
    if wants_json(request.system):
        return json.dumps(values, ensure_ascii=False, default=str)
    sections = [f"[[ ## {name} ## ]]\n{_value(values[name])}" for name in request.outputs]
    return "\n\n".join([*sections, "[[ ## completed ## ]]"])


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _response(text: str, request: ModelRequest) -> lm15.Response:
    asked_chars = len(request.system) + len(request.text)
    usage = lm15.Usage(
        input_tokens=asked_chars // _CHARS_PER_TOKEN, output_tokens=len(text) // _CHARS_PER_TOKEN
    )
    message = lm15.Message.assistant(text)
    return lm15.Response(
        id=SCRIPTED_MODEL, model=SCRIPTED_MODEL, message=message, finish_reason="stop", usage=usage
    )


def _text_of(content: str | Iterable[object] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(str(getattr(part, "text", "") or "") for part in content)
