"""OpenAI's chat protocol as lm15 speaks it, without what lm15 does anew for every call.

The mappings stay lm15's: its payload, its errors, its reading of any answer that is more than one text. Here
address, headers and credential are made once, JSON is written and read by orjson where both agree to the
byte, and values that were just read from JSON are not asked whether they are JSON.
"""
# ruff: noqa: SLF001 - DSPy is pinned; these are the steps of lm15's own complete(), compared with it by a test

from __future__ import annotations

import operator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
from dspy import lm15
from dspy._vendor.lm15.adaptation import collecting
from dspy._vendor.lm15.providers.async_base import AsyncOpenAIChatLM
from dspy._vendor.lm15.providers.base import HttpResponse, _attach_error_metadata, _client_side_stop
from dspy._vendor.lm15.transports import TransportError, TransportRequest

from agent_service.programs.lm.chat_payload import PlainBodies, encoded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agent_service.programs.lm.http.transport import HttpReply, HttpTransport

_ERROR_STATUS = 400
_ENDS = {"stop", "length", "content_filter"}
_NOTHING: Mapping[str, Any] = {}
_COUNTS = (
    *("input_tokens", "output_tokens", "total_tokens", "cache_read_tokens", "cache_write_tokens"),
    *("reasoning_tokens", "input_audio_tokens", "output_audio_tokens"),
)
_PARTS_OF_REQUEST = ("messages", "system", "tools", "config")
_parts_of_request = operator.attrgetter(*_PARTS_OF_REQUEST)
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

    async def complete(self, request: lm15.Request, model: str) -> lm15.Response | PlainReply:
        """What ``provider.complete`` returns or raises for ``request``, asked of ``model``.

        The provider is asked where one POST is not all there is.
        """
        body = self._bodies.body(request, model)
        if body is None:
            return await self._complete_by_steps(renamed(request, model))
        answer, text = await self._post(request, body)
        plain = read_plain(request, text) if answer.status < _ERROR_STATUS else None
        return plain or self._read(renamed(request, model), answer, text, ())

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
            return mapping._finish_response(request, plain.whole(), adaptations, policy=policy)
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


class PlainReply:
    """An answer of one text, as most are, before anybody needs lm15's Response of it.

    Attributes:
        usage: the counts of ``lm15.Usage``, in its order.
        data: the answer's JSON.
    """

    __slots__ = ("data", "finish_reason", "text", "usage")

    def __init__(
        self, text: str, finish_reason: str, usage: Sequence[int | None], data: dict[str, Any]
    ) -> None:
        self.text = text
        self.finish_reason = finish_reason
        self.usage = usage
        self.data = data

    def __repr__(self) -> str:
        return f"<PlainReply of {len(self.text)} characters>"

    def whole(self) -> lm15.Response:
        """What lm15 makes of the answer."""
        return lm15.Response(
            id=self.data["id"],
            model=self.data["model"],
            message=lm15.Message.assistant(self.text),
            finish_reason=self.finish_reason,
            usage=lm15.Usage(**dict(zip(_COUNTS, self.usage, strict=True))),
            provider_data=self.data,
        )


def whole(reply: lm15.Response | PlainReply) -> lm15.Response:
    """The reply as DSPy reads it, of either kind."""
    return reply.whole() if isinstance(reply, PlainReply) else reply


def read_plain(request: lm15.Request, body: bytes) -> PlainReply | None:
    """The answer when it is one text; None for any other."""
    try:
        data = orjson.loads(body)
        (choice,) = data["choices"]
        message, end = choice["message"], choice["finish_reason"]
        text, identity, model = message["content"], data["id"], data["model"]
        counts = _plain_counts(data["usage"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if counts is None or request.config.response_format or type(end) is not str or end not in _ENDS:
        return None
    if not (type(text) is type(identity) is type(model) is str and text and identity and model):
        return None
    if data.get("error") is not None or choice.get("logprobs") is not None:
        return None
    if any(map(message.get, _MORE_THAN_TEXT)):
        return None
    return PlainReply(text, end, counts, data)


def _plain_counts(usage: dict[str, Any]) -> Sequence[int | None] | None:
    """The tokens used, when every count is one or is not told."""
    of_prompt = usage.get("prompt_tokens_details") or _NOTHING
    of_answer = usage.get("completion_tokens_details") or _NOTHING
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
    return counts


def renamed(request: lm15.Request, model: str) -> lm15.Request:
    """The request for ``model``, whose other values were checked when it was made."""
    if type(request) is not lm15.Request:
        return replace(request, model=model)
    made = object.__new__(lm15.Request)
    for put, value in zip(_SETTERS, (model, *_parts_of_request(request)), strict=True):
        put(made, value)
    return made


_SETTERS = tuple(getattr(lm15.Request, name).__set__ for name in ("model", *_PARTS_OF_REQUEST))


class Reply(HttpResponse):
    """A whole answer, as lm15 reads it."""

    __slots__ = ()

    def json(self) -> Any:
        """The body; what orjson does not take, lm15 may, or has the error for."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return HttpResponse.json(self)
