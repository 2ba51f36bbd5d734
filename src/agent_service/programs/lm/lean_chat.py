"""OpenAI's chat protocol as lm15 speaks it, without what lm15 does anew for every call.

The mappings stay lm15's: its payload, its errors, its reading of any answer that is more than one text. Here
address, headers and credential are made once, JSON is written and read by orjson where both agree to the
byte, and values that were just read from JSON are not asked whether they are JSON.
"""
# ruff: noqa: SLF001 - DSPy is pinned; these are the steps of lm15's own complete(), compared with it by a test

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from dspy import lm15
from dspy._vendor.lm15.adaptation import collecting
from dspy._vendor.lm15.providers.async_base import AsyncOpenAIChatLM
from dspy._vendor.lm15.providers.base import HttpResponse, _attach_error_metadata, _client_side_stop
from dspy._vendor.lm15.transports import TransportError, TransportRequest

from agent_service.programs.lm.chat_payload import PlainBodies, encoded

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_service.programs.lm.http.transport import HttpReply, HttpTransport

_ERROR_STATUS = 400
_ENDS = {"stop", "length", "content_filter"}
_MORE_THAN_TEXT = ("reasoning_content", "reasoning", "refusal", "tool_calls")


class LeanChat:
    """One provider of OpenAI's chat protocol. Belongs to the loop that its transport belongs to.

    Args:
        provider: lm15's client of it, for which ``suits`` holds.
        transport: the transport of that client.
    """

    def __init__(self, provider: Any, transport: HttpTransport) -> None:
        self._provider = provider
        self._mapping = provider._inner
        self._transport = transport
        self._bodies = PlainBodies(provider._inner)
        self._head: TransportRequest | None = None

    @staticmethod
    def suits(provider: Any) -> bool:
        """Whether nothing but the body differs from call to call: one address, one credential."""
        if type(provider) is not AsyncOpenAIChatLM:
            return False
        mapping = provider._inner
        return mapping.access.host is None and not callable(mapping.api_key)

    async def complete(self, request: lm15.Request) -> lm15.Response:
        """What ``provider.complete`` returns or raises; it is asked where one POST is not all there is."""
        body = self._bodies.body(request)
        if body is None:
            return await self._complete_by_steps(request)
        answer, text = await self._post(request, body)
        plain = read_plain(request, text) if answer.status < _ERROR_STATUS else None
        return plain or self._read(request, answer, text, ())

    async def _complete_by_steps(self, request: lm15.Request) -> lm15.Response:
        """The same for any request, and learn from it."""
        mapping, policy = self._mapping, self._provider.adaptations
        wire = mapping._wire_request(request)
        if mapping._judgments_via_token_scoring(wire):
            return await self._provider.complete(request)
        with collecting(policy, provider=mapping.provider) as scope:
            payload = mapping._payload(wire, stream=False)
        adaptations = tuple(scope.records)
        if _client_side_stop(adaptations):
            return await self._provider.complete(request)
        if not adaptations and wire is request:
            self._bodies.learn(request, payload)
        answer, body = await self._post(wire, encoded(wire, payload))
        plain = read_plain(wire, body) if answer.status < _ERROR_STATUS else None
        if plain is not None:
            return mapping._finish_response(request, plain, adaptations, policy=policy)
        return self._read(request, answer, body, adaptations)

    def _read(
        self, request: lm15.Request, answer: HttpReply, body: bytes, adaptations: tuple[Any, ...]
    ) -> lm15.Response:
        """What lm15 makes of an answer of any kind."""
        mapping = self._mapping
        reply = Reply(answer.status, answer.reason, answer.headers, body, provider=self._provider.provider)
        if reply.status >= _ERROR_STATUS:
            raise mapping._http_error(reply)
        try:
            response = mapping.parse_response(request, reply)
            return mapping._finish_response(request, response, adaptations, policy=self._provider.adaptations)
        except lm15.ProviderError as error:
            _attach_error_metadata(error, reply.headers)
            raise

    async def _post(self, request: lm15.Request, body: bytes) -> tuple[HttpReply, bytes]:
        """The answer's head, and its body."""
        if self._head is None:
            self._head = self._mapping.build_request(request, stream=False)
        message = TransportRequest("POST", self._head.url, self._head.headers, body)
        try:
            async with self._transport.stream(message) as answer:
                return answer, await answer.read()
        except TransportError as error:
            raise lm15.TransportError(str(error)) from error


def read_plain(request: lm15.Request, body: bytes) -> lm15.Response | None:
    """What lm15 makes of an answer of one text, at a third of the cost; None for any other."""
    try:
        data = orjson.loads(body)
        (choice,) = data["choices"]
        message, end = choice["message"], choice["finish_reason"]
        texts = (message["content"], data["id"], data["model"], end)
        usage = _plain_usage(data["usage"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if usage is None or request.config.response_format or not all(type(t) is str and t for t in texts):
        return None
    if end not in _ENDS or data.get("error") is not None or choice.get("logprobs") is not None:
        return None
    if any(message.get(name) for name in _MORE_THAN_TEXT):
        return None
    text, identity, model, _ = texts
    message = _made(_MESSAGE, "assistant", (_made(_TEXT, text, (), "text"),), ())
    return _made(_RESPONSE, identity, model, message, end, usage, None, data, (), True)


def _plain_usage(usage: dict[str, Any]) -> lm15.Usage | None:
    """The tokens used, when every count is one or is not told."""
    of_prompt = usage.get("prompt_tokens_details") or {}
    of_answer = usage.get("completion_tokens_details") or {}
    counts = (
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        usage["total_tokens"],
        of_prompt.get("cached_tokens"),
        of_prompt.get("cache_write_tokens"),
        of_answer.get("reasoning_tokens"),
        of_prompt.get("audio_tokens"),
        of_answer.get("audio_tokens"),
    )
    if usage["total_tokens"] is None:
        return None  # lm15 adds it up
    for count in counts:
        if count is not None and (type(count) is not int or count < 0):
            return None
    return _made(_USAGE, *counts)


def renamed(request: lm15.Request, model: str) -> lm15.Request:
    """The request for ``model``, whose other values were checked when it was made."""
    if type(request) is not lm15.Request:
        return replace(request, model=model)
    return _made(_REQUEST, model, request.messages, request.system, request.tools, request.config)


class _Kind(NamedTuple):
    """A class whose instances are made without the checks of its constructor."""

    made: type
    setters: tuple[Callable[[Any, Any], None], ...]

    @classmethod
    def of(cls, made: type, *names: str) -> _Kind:
        return cls(made, tuple(getattr(made, name).__set__ for name in names))


_TEXT = _Kind.of(lm15.TextPart, "text", "continuation", "type")
_MESSAGE = _Kind.of(lm15.Message, "role", "parts", "continuation")
_REQUEST = _Kind.of(lm15.Request, "model", "messages", "system", "tools", "config")
_USAGE = _Kind.of(
    lm15.Usage,
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
)
_RESPONSE = _Kind.of(
    lm15.Response,
    "id",
    "model",
    "message",
    "finish_reason",
    "usage",
    "logprobs",
    "provider_data",
    "adaptations",
    "logprobs_complete",
)


def _made(kind: _Kind, *values: Any) -> Any:
    """An instance as its constructor would leave it."""
    made: Any = object.__new__(kind.made)
    for put, value in zip(kind.setters, values):  # noqa: B905 - a check at each call of a model
        put(made, value)
    return made


class Reply(HttpResponse):
    """A whole answer, as lm15 reads it."""

    __slots__ = ()

    def json(self) -> Any:
        """The body; what orjson does not take, lm15 may, or has the error for."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return HttpResponse.json(self)
