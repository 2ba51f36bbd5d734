"""What each kind of fault does to a response."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from agent_service.core.clock import sleep
from agent_service.simulator.chat import ChatReply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_service.core.clock import Clock
    from agent_service.simulator.behaviour import Fault
    from agent_service.simulator.completions import Completion
    from agent_service.simulator.exchange import Exchange

NONSENSE = "colourless green ideas sleep furiously"

_START_OF_TEXT = b'"content":"colo'
_PIECE_BYTES = 65_536
_PAGE = b"<!doctype html><title>Bad gateway</title><h1>Something is in the way</h1>"
_ERRORS = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}
_FIRST_SERVER_ERROR = 500


async def play(fault: Fault, exchange: Exchange, completion: Completion, clock: Clock) -> None:
    """Let ``fault`` happen to the response that ``completion`` would have been."""
    if fault.kind in ("huge", "nonsense"):
        completion = replace(completion, reply=ChatReply(NONSENSE))
    if fault.status is not None:
        await _status(fault.status, fault, exchange)
    elif fault.kind == "drip":
        await _drip(fault, exchange, completion, clock)
    elif fault.kind == "huge":
        await _huge(fault, exchange, completion)
    else:
        await _PLAIN[fault.kind](exchange, completion)


async def _status(status: int, fault: Fault, exchange: Exchange) -> None:
    server_error = status >= _FIRST_SERVER_ERROR
    kind, code = _ERRORS.get(status, ("server_error" if server_error else "invalid_request_error", None))
    seconds = fault.retry_after_seconds
    headers = {} if seconds is None else {"retry-after": f"{seconds:g}"}
    await exchange.refuse(status, f"simulated error {status}", kind=kind, code=code, headers=headers)


async def _context_length_exceeded(exchange: Exchange, _: Completion) -> None:
    message = "This model's maximum context length is 8192 tokens. Your messages are longer."
    await exchange.refuse(400, message, kind="invalid_request_error", code="context_length_exceeded")


async def _insufficient_quota(exchange: Exchange, _: Completion) -> None:
    message = "You exceeded your current quota."
    await exchange.refuse(429, message, kind="insufficient_quota", code="insufficient_quota")


async def _timeout_text(exchange: Exchange, _: Completion) -> None:
    """Plainly the caller's mistake, in words that sound like an outage."""
    message = "timeout must be a number; connection timed out is no value for it, 503, try again."
    await exchange.refuse(400, message, kind="invalid_request_error")


async def _hang(exchange: Exchange, _: Completion) -> None:
    await exchange.hang()


async def _hang_mid_body(exchange: Exchange, completion: Completion) -> None:
    await _half(exchange, completion)
    await exchange.hang()


async def _reset(exchange: Exchange, _: Completion) -> None:
    await exchange.reset()


async def _reset_mid_body(exchange: Exchange, completion: Completion) -> None:
    await _half(exchange, completion)
    await exchange.reset()


async def _truncated(exchange: Exchange, completion: Completion) -> None:
    await _half(exchange, completion)
    await exchange.hang_up()


async def _half(exchange: Exchange, completion: Completion) -> None:
    """Promise a whole body, send half of it; a stream promises no length."""
    body = completion.body()
    length = None if completion.request.stream else len(body)
    await exchange.start(200, completion.content_type, length_bytes=length, headers={})
    await exchange.write(body[: len(body) // 2])


async def _malformed_json(exchange: Exchange, completion: Completion) -> None:
    body = completion.body()
    await exchange.respond(200, completion.content_type, body[: len(body) // 2])


async def _empty_json(exchange: Exchange, completion: Completion) -> None:
    body = b"data: {}\n\ndata: [DONE]\n\n" if completion.request.stream else b"{}"
    await exchange.respond(200, completion.content_type, body)


async def _wrong_content_type(exchange: Exchange, _: Completion) -> None:
    await exchange.respond(200, "text/html", _PAGE)


async def _drip(fault: Fault, exchange: Exchange, completion: Completion, clock: Clock) -> None:
    body = completion.body()
    await exchange.start(200, completion.content_type, length_bytes=len(body), headers={})
    for place in range(len(body)):
        await exchange.write(body[place : place + 1], last=place == len(body) - 1)
        await sleep(clock, fault.pause_seconds)


async def _huge(fault: Fault, exchange: Exchange, completion: Completion) -> None:
    """The reply with ``size_bytes`` more of text, never held in memory as a whole."""
    before, text, after = completion.body().partition(_START_OF_TEXT)
    await exchange.start(200, completion.content_type, headers={})
    await exchange.write(before + text)
    for sent in range(0, fault.size_bytes, _PIECE_BYTES):
        await exchange.write(b"x" * min(_PIECE_BYTES, fault.size_bytes - sent))
    await exchange.write(after, last=True)


async def _answer(exchange: Exchange, completion: Completion) -> None:
    await exchange.respond(200, completion.content_type, completion.body())


_PLAIN: dict[str, Callable[[Exchange, Completion], Awaitable[None]]] = {
    "context_length_exceeded": _context_length_exceeded,
    "empty_json": _empty_json,
    "hang": _hang,
    "hang_mid_body": _hang_mid_body,
    "hang_mid_stream": _hang_mid_body,
    "insufficient_quota": _insufficient_quota,
    "malformed_json": _malformed_json,
    "nonsense": _answer,
    "reset": _reset,
    "reset_mid_body": _reset_mid_body,
    "timeout_text": _timeout_text,
    "truncated": _truncated,
    "wrong_content_type": _wrong_content_type,
}
