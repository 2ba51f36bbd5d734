"""The lean chat client against lm15's own: the same bytes out, the same answers and errors in."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import pytest
from dspy import lm15
from dspy._vendor.lm15.access import AccessPolicy
from dspy._vendor.lm15.transports import AsyncTransportResponse, ReadError, TransportRequest
from hypothesis import given
from hypothesis import strategies as st

from agent_service.programs.lm.chat_payload import encoded
from agent_service.programs.lm.lean_chat import LeanChat, read_plain, renamed, whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PROVIDERS = ["openai-chat", "groq", "openrouter", "deepseek", "vllm", "ollama", "moonshotai", "zai"]
MODELS = {"openai-chat": "gpt-4o-mini", "groq": "openai/gpt-oss-20b", "vllm": "own:model"}
SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
TOOL = lm15.FunctionTool(
    name="look_up", description="Looks up.", parameters={"type": "object", "properties": {}, "x": 1e-7}
)
PLAIN = lm15.Request(model="m", system="Be brief.", messages=(lm15.Message.user("2+2?"),))
ANSWER: dict[str, Any] = {
    "id": "c1",
    "object": "chat.completion",
    "model": "m-2026",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "four"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
}


def asked(**config: Any) -> lm15.Request:
    """The plain request with other settings."""
    return replace(PLAIN, config=lm15.Config(**config))


REQUESTS = {
    "plain": PLAIN,
    "no system": replace(PLAIN, system=None),
    "named with its provider": replace(PLAIN, model="openai-chat:m"),
    "unicode": replace(PLAIN, messages=(lm15.Message.user('é 日本 \U0001f600 \x00\x1f\x7f   "\\/'),)),
    "turns": replace(
        PLAIN,
        messages=(
            lm15.Message.user("a"),
            lm15.Message.assistant("b"),
            lm15.Message.developer("c"),
            lm15.Message.user([lm15.TextPart(text="d"), lm15.TextPart(text="e")]),
        ),
    ),
    "image": replace(PLAIN, messages=(lm15.Message.user([lm15.ImagePart(url="http://x/y.png")]),)),
    "tools": replace(PLAIN, tools=(TOOL,), config=lm15.Config(tool_choice=lm15.ToolChoice(mode="required"))),
    "tool results": replace(
        PLAIN,
        tools=(TOOL,),
        messages=(
            lm15.Message.user("a"),
            lm15.Message(
                role="assistant", parts=(lm15.ToolCallPart(id="1", name="look_up", input={"q": 1e-7}),)
            ),
            lm15.Message(
                role="tool", parts=(lm15.ToolResultPart(id="1", content=(lm15.TextPart(text="r"),)),)
            ),
        ),
    ),
    "sampling": asked(temperature=0.7, top_p=0.123456789, max_tokens=1000, seed=7, stop=("\n", "END")),
    "whole temperature": asked(temperature=1, frequency_penalty=-2, presence_penalty=-0.0),
    "tiny temperature": asked(temperature=1e-7, top_p=5e-324),
    "long seed": asked(seed=2**70),
    "top k": asked(top_k=5),
    "reasoning": asked(reasoning=lm15.Reasoning(effort="high")),
    "reasoning off": asked(reasoning=lm15.Reasoning(effort="off")),
    "json object": asked(response_format={"type": "json_object"}),
    "json schema": asked(response_format={"type": "json_schema", "schema": SCHEMA, "name": "a"}),
    "logprobs": asked(logprobs=3),
    "user": asked(user_id="u", service_tier="flex", store=False),
    "extensions": asked(extensions={"logit_bias": {"1": 1e-7}, "n": 1}),
    "cache": asked(cache=lm15.CacheConfig(mode="off")),
}


def answered(message: dict[str, Any] | None = None, /, **changes: Any) -> dict[str, Any]:
    """A whole answer with another message or other fields."""
    choice = {**ANSWER["choices"][0], "message": message or ANSWER["choices"][0]["message"]}
    return {**ANSWER, "choices": [choice], **changes}


CALL = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": '{"a": 1}'}}
REPLIES: dict[str, tuple[int, bytes]] = {
    name: (200, body if isinstance(body, bytes) else json.dumps(body).encode())
    for name, body in {
        "plain": ANSWER,
        "unicode": answered({"role": "assistant", "content": "é 日本 \U0001f600 \x00"}),
        "lone surrogate": answered({"role": "assistant", "content": "a\ud800b"}),
        "tool call": answered({"role": "assistant", "content": None, "tool_calls": [CALL]}),
        "nameless tool call": answered({"tool_calls": [{"id": "1", "function": {}}]}),
        "reasoning": answered({"content": "four", "reasoning_content": "two and two"}),
        "refusal": answered({"content": None, "refusal": "no"}),
        "parts": answered({"content": [{"type": "text", "text": "a"}, {"type": "image"}]}),
        "cut": answered(choices=[{**ANSWER["choices"][0], "finish_reason": "length"}]),
        "unknown end": answered(choices=[{**ANSWER["choices"][0], "finish_reason": "bored"}]),
        "two choices": answered(choices=ANSWER["choices"] * 2),
        "no choices": answered(choices=[]),
        "nothing": {},
        "odd usage": answered(usage={"prompt_tokens": -1}),
        "details": answered(usage={"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}),
        "error in a success": {"error": {"code": "rate_limit_exceeded", "message": "slow down"}},
        "null usage": answered(usage=None),
        "no total": answered(usage={"prompt_tokens": 3, "completion_tokens": 1}),
        "odd details": answered(usage={"total_tokens": 1, "prompt_tokens_details": [1]}),
        "true tokens": answered(usage={"total_tokens": True}),
        "fractions of tokens": answered(usage={"total_tokens": 4.0}),
        "empty error": answered(error={}),
        "error text": answered(error="x"),
        "filtered": answered(choices=[{**ANSWER["choices"][0], "finish_reason": "content_filter"}]),
        "no end": answered(choices=[{**ANSWER["choices"][0], "finish_reason": None}]),
        "spaces": answered({"content": " "}, id=" ", model=" "),
        "no id": answered(id=None),
        "number as model": answered(model=4),
        "no model": answered(model=""),
        "scores": answered(
            choices=[{**ANSWER["choices"][0], "logprobs": {"content": [{"token": "a", "logprob": -1}]}}]
        ),
        "infinite": b'{"x": 1e999, ' + json.dumps(ANSWER).encode()[1:],
        "not a number": b'{"choices": [], "x": NaN}',
        "a list": b"[]",
        "torn": b'{"id": "c1", "choi',
        "a page": b"<html>",
        "no text": b"\xff\xfe\x00",
        "with a mark": b"\xef\xbb\xbf" + json.dumps(ANSWER).encode(),
        "empty": b"",
    }.items()
}
_FAILURE = {"error": {"message": "it failed", "type": "x", "code": None}}
FAILURES: dict[str, tuple[int, bytes]] = {
    str(status): (status, json.dumps(_FAILURE).encode())
    for status in (307, 400, 401, 402, 403, 404, 408, 413, 418, 422, 429, 500, 502, 503, 504)
} | {
    "too long": (400, b'{"error": {"message": "too long", "code": "context_length_exceeded"}}'),
    "no json": (502, b"<html>bad gateway</html>"),
}
HEADERS = [("Content-Type", "application/json"), ("x-request-id", "req_1"), ("retry-after", "7")]


class Canned(AsyncTransportResponse):  # type: ignore[misc] # DSPy has no types
    """An answer that is there."""

    async def read(self) -> bytes:
        """The body."""
        return self.body  # type: ignore[no-any-return] # DSPy has no types


class Wire:
    """A transport that answers always the same, and keeps what was sent."""

    def __init__(self, status: int, body: bytes, *, torn: bool = False) -> None:
        self.sent: list[TransportRequest] = []
        self._torn = torn
        self._response = Canned(
            status=status, reason="R", headers=HEADERS, http_version="HTTP/1.1", chunks=None, release=None
        )
        self._response.body = body

    @asynccontextmanager
    async def stream(self, request: TransportRequest) -> AsyncIterator[AsyncTransportResponse]:
        """Answer."""
        self.sent.append(request)
        if self._torn:
            raise ReadError("reset")
        yield self._response


def client(wire: Wire, provider: str = "openai-chat", **settings: Any) -> Any:
    """lm15's client of ``provider``."""
    keys = {provider: "sk-1"} | settings.pop("api_keys", {})
    router = lm15.AsyncLMRouter(lm15.RouterConfig(api_keys=keys, transport=wire, **settings))
    return router.lm(f"{provider}:{MODELS.get(provider, 'm')}")


async def outcome(complete: Any, request: lm15.Request) -> tuple[Any, ...]:
    """What a call comes to, in a form that compares."""
    try:
        response = whole(await complete(request))
    except Exception as error:  # noqa: BLE001 - whatever it is, the two must agree on it
        return type(error), str(error), vars(error), type(error.__cause__)
    return tuple(getattr(response, field.name) for field in fields(response))


async def assert_same(
    request: lm15.Request, reply: tuple[int, bytes], provider: str = "openai-chat", *, torn: bool = False
) -> None:
    """Both clients send the same requests, and come to the same end; twice, for what is made once."""
    stock_wire, lean_wire = Wire(*reply, torn=torn), Wire(*reply, torn=torn)
    own = client(lean_wire, provider)
    assert LeanChat.suits(own)
    stock, lean = client(stock_wire, provider), LeanChat(own, lean_wire)  # type: ignore[arg-type] # a double
    for _ in range(2):
        expected = await outcome(stock.complete, request)
        assert repr(await outcome(lambda given: lean.complete(given, given.model), request)) == repr(expected)
    assert lean_wire.sent == stock_wire.sent


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("request_name", REQUESTS)
async def test_requests_are_the_same_to_the_byte(provider: str, request_name: str) -> None:
    """Whatever is asked of whichever provider: address, headers, body, adaptations and refusals."""
    await assert_same(REQUESTS[request_name], (200, json.dumps(ANSWER).encode()), provider)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("request_name", REQUESTS)
async def test_settings_that_were_seen_before_give_the_same_bytes(provider: str, request_name: str) -> None:
    """What was learned from one conversation holds for every other with the same settings."""
    reply = (200, json.dumps(ANSWER).encode())
    stock_wire, lean_wire = Wire(*reply), Wire(*reply)
    stock, lean = (
        client(stock_wire, provider),
        LeanChat(client(lean_wire, provider), lean_wire),  # type: ignore[arg-type] # a double
    )
    first = REQUESTS[request_name]
    for other in REQUESTS.values():
        asked_for = replace(other, config=first.config) if not first.tools else other
        expected = await outcome(stock.complete, asked_for)
        assert repr(await outcome(lambda given: lean.complete(given, given.model), asked_for)) == repr(
            expected
        )
    assert lean_wire.sent == stock_wire.sent


@pytest.mark.parametrize("request_name", ["plain", "json schema"])
@pytest.mark.parametrize("reply_name", [*REPLIES, *FAILURES])
async def test_answers_and_errors_are_the_same(reply_name: str, request_name: str) -> None:
    """With status, code, hints and the request's id, for they decide on retries and fallbacks."""
    await assert_same(REQUESTS[request_name], (REPLIES | FAILURES)[reply_name])


@pytest.mark.parametrize("request_name", ["plain", "image"])
async def test_another_model_than_the_request_s_is_asked(request_name: str) -> None:
    """Programs name a model with its provider, providers do not."""
    reply = (200, json.dumps(ANSWER).encode())
    stock_wire, lean_wire = Wire(*reply), Wire(*reply)
    lean = LeanChat(client(lean_wire), lean_wire)  # type: ignore[arg-type] # a double
    request = replace(REQUESTS[request_name], model="openai/m")
    for _ in range(2):
        expected = await client(stock_wire).complete(replace(request, model="m"))
        assert whole(await lean.complete(request, "m")) == expected
    assert lean_wire.sent == stock_wire.sent


async def test_a_connection_that_breaks_is_the_same_error() -> None:
    """The seam tells a provider that cannot be reached from one that refuses by the class."""
    await assert_same(PLAIN, (200, b""), torn=True)


_FLOATS = st.floats(-2, 2) | st.sampled_from([1e-4, 9.999e-5, 1e-5, -1e-4, 0.1, 1 / 3])


@given(text=st.text(), system=st.text(min_size=1), penalty=_FLOATS, seed=st.integers())
def test_any_text_and_number_is_written_as_lm15_writes_it(
    text: str, system: str, penalty: float, seed: int
) -> None:
    """The provider's cache of prompts, and whoever compares, sees the same bytes."""
    wire = Wire(200, b"{}")
    mapping = client(wire)._inner  # noqa: SLF001 - where lm15 makes its requests
    config = lm15.Config(frequency_penalty=penalty, temperature=abs(penalty), seed=seed)
    request = lm15.Request(model="m", system=system, messages=(lm15.Message.user(text),), config=config)
    payload = mapping._payload(request, stream=False)  # noqa: SLF001 - as above
    assert encoded(request, payload) == mapping.build_request(request, stream=False).body


def test_text_that_is_no_unicode_is_refused_as_lm15_refuses_it() -> None:
    """It could not be sent to anybody."""
    request = replace(PLAIN, messages=(lm15.Message.user("a\ud800"),))
    with pytest.raises(ValueError, match=r"U\+D800"):
        encoded(request, {"messages": ["a\ud800"]})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


_COUNT = st.none() | st.integers(-1, 9) | _JSON
_DETAILS = st.none() | st.fixed_dictionaries({}, optional={"cached_tokens": _COUNT, "audio_tokens": _COUNT})
_USAGE = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": _COUNT,
        "completion_tokens": _COUNT,
        "total_tokens": _COUNT,
        "prompt_tokens_details": _DETAILS,
        "completion_tokens_details": _DETAILS,
    },
)
_MESSAGE = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("content", "refusal", "reasoning", "tool_calls"), _JSON)
)


@given(
    extra=_JSON,
    message=_JSON | _MESSAGE | st.builds(lambda text: {"content": text}, st.text()),
    usage=_JSON | _USAGE,
    finish=_JSON | st.sampled_from(["stop", "length", "tool_calls"]),
)
async def test_any_answer_is_read_as_lm15_reads_it(extra: Any, message: Any, usage: Any, finish: Any) -> None:
    """Providers invent fields, and fill those they share with anything."""
    body = answered(choices=[{"finish_reason": finish, "message": message}], usage=usage, x=extra)
    await assert_same(PLAIN, (200, json.dumps(body).encode()))


def test_an_answer_of_one_text_is_read_without_lm15() -> None:
    """Else the comparison above would compare lm15 with itself; and it keeps all that lm15 keeps."""
    plain = read_plain(PLAIN, json.dumps(ANSWER).encode())
    assert plain is not None
    assert replace(plain.whole()) == plain.whole()
    assert plain.text == "four"


def test_a_request_for_another_model_is_otherwise_the_same() -> None:
    """As ``dataclasses.replace`` makes it, for what DSPy makes and for what somebody derived from it."""

    class Derived(lm15.Request):  # type: ignore[misc] # DSPy has no types
        __slots__ = ()

    for request in (*REQUESTS.values(), Derived(model="m", messages=PLAIN.messages)):
        other = renamed(request, "other")
        assert other == replace(request, model="other")
        assert type(other) is type(request)


def test_what_is_more_than_one_post_with_one_head_is_left_to_lm15() -> None:
    """Credentials that change, addresses with the model in them, other protocols."""
    wire = Wire(200, b"{}")
    assert not LeanChat.suits(client(wire, "anthropic"))
    assert not LeanChat.suits(client(wire, "openai"))
    assert not LeanChat.suits(client(wire, api_keys={"openai-chat": lambda: "sk-1"}))
    access = AccessPolicy(provider="own", env_keys=("OWN_KEY",), base_url="http://own/v1")
    declared = lm15.ProviderDefinition.chat(access, compat=lm15.OpenAIChatCompat())
    assert LeanChat.suits(client(wire, "own", providers=(declared,)))


async def test_probabilities_are_left_to_lm15() -> None:
    """They take several requests."""
    schema = {"type": "object", "properties": {"answer": {"enum": ["a", "b"]}}, "required": ["answer"]}
    config = lm15.Config(
        response_format={"type": "json_schema", "schema": schema}, probabilities="if_available"
    )
    await assert_same(replace(PLAIN, config=config), (200, b'{"tokens": [1]}'), "vllm")
