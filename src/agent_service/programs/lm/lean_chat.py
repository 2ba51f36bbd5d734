"""OpenAI's chat protocol as lm15 speaks it, without what lm15 does anew for every call.

The mappings stay lm15's: its payload, its errors, its reading of any answer that is more than one text. Here
address, headers and credential are made once, JSON is written and read by orjson where both agree to the
byte, and values that were just read from JSON are not asked whether they are JSON.
"""
# ruff: noqa: SLF001 - DSPy is pinned; these are the steps of lm15's own complete(), compared with it by a test

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
from dspy import lm15
from dspy._vendor.lm15.adaptation import collecting
from dspy._vendor.lm15.providers.async_base import AsyncOpenAIChatLM
from dspy._vendor.lm15.providers.base import HttpResponse, _attach_error_metadata, _client_side_stop
from dspy._vendor.lm15.providers.common import json_dumps
from dspy._vendor.lm15.transports import TransportError, TransportRequest

if TYPE_CHECKING:
    from agent_service.programs.lm.http_transport import HttpReply, HttpTransport

_ERROR_STATUS = 400
_ENDS = {"stop", "length", "content_filter"}
_MORE_THAN_TEXT = ("reasoning_content", "reasoning", "refusal", "tool_calls")
_FLOATS = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
_LEAST_PLAIN_FLOAT = 1e-4  # Python writes smaller ones with an exponent of two digits, orjson with one


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
        mapping, policy = self._mapping, self._provider.adaptations
        wire = mapping._wire_request(request)
        if mapping._judgments_via_token_scoring(wire):
            return await self._provider.complete(request)
        with collecting(policy, provider=mapping.provider) as scope:
            payload = mapping._payload(wire, stream=False)
        adaptations = tuple(scope.records)
        if _client_side_stop(adaptations):
            return await self._provider.complete(request)
        answer, body = await self._post(wire, encoded(wire, payload))
        plain = read_plain(wire, body) if answer.status < _ERROR_STATUS else None
        if plain is not None:
            return mapping._finish_response(request, plain, adaptations, policy=policy)
        reply = Reply(answer.status, answer.reason, answer.headers, body, provider=self._provider.provider)
        if reply.status >= _ERROR_STATUS:
            raise mapping._http_error(reply)
        try:
            response = mapping.parse_response(request, reply)
            return mapping._finish_response(request, response, adaptations, policy=policy)
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
    part = _made(lm15.TextPart, text=text, continuation=(), type="text")
    return _made(
        lm15.Response,
        id=identity,
        model=model,
        message=_made(lm15.Message, role="assistant", parts=(part,), continuation=()),
        finish_reason=end,
        usage=usage,
        logprobs=None,
        provider_data=data,
        adaptations=(),
        logprobs_complete=True,
    )


def _plain_usage(usage: dict[str, Any]) -> lm15.Usage | None:
    """The tokens used, when every count is one or is not told."""
    of_prompt = usage.get("prompt_tokens_details") or {}
    of_answer = usage.get("completion_tokens_details") or {}
    counts = {
        "input_tokens": usage.get("prompt_tokens"),
        "output_tokens": usage.get("completion_tokens"),
        "total_tokens": usage["total_tokens"],
        "cache_read_tokens": of_prompt.get("cached_tokens"),
        "cache_write_tokens": of_prompt.get("cache_write_tokens"),
        "reasoning_tokens": of_answer.get("reasoning_tokens"),
        "input_audio_tokens": of_prompt.get("audio_tokens"),
        "output_audio_tokens": of_answer.get("audio_tokens"),
    }
    if counts["total_tokens"] is None:
        return None  # lm15 adds it up
    for count in counts.values():
        if count is not None and (type(count) is not int or count < 0):
            return None
    return _made(lm15.Usage, **counts)


def renamed(request: lm15.Request, model: str) -> lm15.Request:
    """The request for ``model``, whose other values were checked when it was made."""
    if type(request) is not lm15.Request:
        return replace(request, model=model)
    return _made(
        lm15.Request,
        model=model,
        messages=request.messages,
        system=request.system,
        tools=request.tools,
        config=request.config,
    )


def _made(kind: Any, **values: Any) -> Any:
    """An instance as its constructor would leave it, without the constructor's checks."""
    made = object.__new__(kind)
    for name, value in values.items():
        object.__setattr__(made, name, value)
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


def encoded(request: lm15.Request, payload: dict[str, Any]) -> bytes:
    """The bytes that lm15 makes of ``payload``, the payload of ``request``.

    Raises:
        ValueError: for text that is no Unicode.
    """
    if _holds_plain_values(request):
        with suppress(TypeError):
            return orjson.dumps(payload)
    whole: bytes = json_dumps(payload)
    return whole


def _holds_plain_values(request: lm15.Request) -> bool:
    """Whether all there is to write is text, integers and floats that both write alike."""
    config = request.config
    if request.tools or config.extensions or config.response_format:
        return False
    floats = [value for name in _FLOATS if (value := getattr(config, name))]
    return all(abs(value) >= _LEAST_PLAIN_FLOAT for value in floats)
