from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from agent_service.simulator.faults import NONSENSE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_service.testing import FakeClock

PATH = "/v1/chat/completions"
BOTH = pytest.mark.parametrize("stream", [False, True])


def _body(fault: str, *, stream: bool = False) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"#sim:fault={fault}"}]
    return {"model": "m", "messages": messages, "stream": stream}


async def _outcome(client: httpx.AsyncClient) -> str:
    """How the last request ended, once it has ended."""
    while True:
        outcome = str((await client.get("/_sim/journal")).json()[-1]["outcome"])
        if outcome != "running":
            return outcome


@asynccontextmanager
async def _raw(client: httpx.AsyncClient, body: dict[str, Any]) -> AsyncIterator[asyncio.StreamReader]:
    """Send a request by hand; gives what comes back, byte by byte."""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    content = json.dumps(body).encode()
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(content)}\r\n\r\n"
    writer.write(head.encode() + content)
    try:
        yield reader
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("400", 400, None),
        ("401", 401, "invalid_api_key"),
        ("402", 402, "insufficient_quota"),
        ("403", 403, None),
        ("404", 404, "model_not_found"),
        ("413", 413, None),
        ("429", 429, "rate_limit_exceeded"),
        ("500", 500, None),
        ("529", 529, None),
        ("context_length_exceeded", 400, "context_length_exceeded"),
        ("insufficient_quota", 429, "insufficient_quota"),
        ("timeout_text", 400, None),
    ],
)
async def test_errors_have_openais_shape(
    client: httpx.AsyncClient, fault: str, status: int, code: str | None
) -> None:
    """A status fault answers with that status and an error object with OpenAI's code."""
    response = await client.post(PATH, json=_body(fault, stream=True))
    assert response.status_code == status
    assert response.json()["error"]["code"] == code
    assert "retry-after" not in response.headers
    assert await _outcome(client) == "fault"


async def test_retry_after_is_sent(client: httpx.AsyncClient) -> None:
    """The header holds the seconds that were asked for."""
    response = await client.post(PATH, json=_body("429,retry_after=2"))
    assert response.headers["retry-after"] == "2"


@BOTH
async def test_a_reset_comes_before_any_byte(client: httpx.AsyncClient, stream: bool) -> None:
    """``reset`` breaks the connection with RST and no byte of a response."""
    async with _raw(client, _body("reset", stream=stream)) as reader:
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
    assert await _outcome(client) == "fault"


@BOTH
async def test_a_reset_comes_in_the_middle(client: httpx.AsyncClient, stream: bool) -> None:
    """``reset_mid_body`` breaks the connection with RST after the headers."""
    async with _raw(client, _body("reset_mid_body", stream=stream)) as reader:
        with pytest.raises(ConnectionResetError):
            await reader.read()
    assert await _outcome(client) == "fault"


@BOTH
async def test_a_truncated_body_ends_early(client: httpx.AsyncClient, stream: bool) -> None:
    """``truncated`` closes the connection in order, before the body is whole."""
    with pytest.raises(httpx.RemoteProtocolError, match="peer closed connection"):
        await client.post(PATH, json=_body("truncated", stream=stream))
    assert await _outcome(client) == "fault"


@BOTH
@pytest.mark.parametrize("fault", ["hang_mid_body", "hang_mid_stream"])
async def test_a_hang_in_the_middle_sends_half(client: httpx.AsyncClient, fault: str, stream: bool) -> None:
    """The first half comes, the rest never; the client's own limit ends it."""
    async with client.stream("POST", PATH, json=_body(fault, stream=stream)) as response:
        assert await anext(response.aiter_bytes())
    assert await _outcome(client) == "client_gone"


async def test_a_drip_comes_byte_by_byte(still: httpx.AsyncClient, clock: FakeClock) -> None:
    """``drip`` sends one byte, then pauses."""
    async with _raw(still, _body("drip,pause=2")) as reader:
        await reader.readuntil(b"\r\n\r\n")
        for expected in (b"{", b'"', b"i"):
            assert await reader.read(100) == expected
            clock.advance(2)


@BOTH
async def test_a_drip_is_whole_in_the_end(client: httpx.AsyncClient, stream: bool) -> None:
    """All bytes of the response come."""
    response = await client.post(PATH, json=_body("drip,pause=0", stream=stream))
    assert response.text.endswith("data: [DONE]\n\n" if stream else "}")
    assert await _outcome(client) == "fault"


async def test_malformed_json_is_complete_http(client: httpx.AsyncClient) -> None:
    """``malformed_json`` is a proper 200 whose body is no JSON."""
    response = await client.post(PATH, json=_body("malformed_json"))
    assert response.status_code == 200
    with pytest.raises(ValueError, match=r"Unterminated string|delimiter|Expecting"):
        response.json()


async def test_empty_json_is_an_empty_object(client: httpx.AsyncClient) -> None:
    """``empty_json`` is ``{}``, streamed as well."""
    assert (await client.post(PATH, json=_body("empty_json"))).json() == {}
    streamed = await client.post(PATH, json=_body("empty_json", stream=True))
    assert streamed.text == "data: {}\n\ndata: [DONE]\n\n"


async def test_nonsense_is_a_valid_completion(client: httpx.AsyncClient) -> None:
    """``nonsense`` has the right shape and a text that no adapter can read."""
    response = await client.post(PATH, json=_body("nonsense"))
    assert response.json()["choices"][0]["message"]["content"] == NONSENSE
    assert await _outcome(client) == "fault"


async def test_a_page_instead_of_json(client: httpx.AsyncClient) -> None:
    """``wrong_content_type`` is a 200 with HTML."""
    response = await client.post(PATH, json=_body("wrong_content_type"))
    assert (response.status_code, response.headers["content-type"]) == (200, "text/html")


async def test_a_huge_body_has_the_size_asked_for(client: httpx.AsyncClient) -> None:
    """``huge`` is valid JSON with that much more text, in chunks."""
    response = await client.post(PATH, json=_body("huge,bytes=200000"))
    assert response.headers["transfer-encoding"] == "chunked"
    assert response.json()["choices"][0]["message"]["content"].count("x") == 200_000
    streamed = await client.post(PATH, json=_body("huge,bytes=200000", stream=True))
    assert streamed.text.count("x") >= 200_000
