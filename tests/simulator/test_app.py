from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import dspy
import pytest

if TYPE_CHECKING:
    import httpx

    from agent_service.testing import FakeClock

PATH = "/v1/chat/completions"


def _body(question: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": question}], **more}


async def _journal(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = (await client.get("/_sim/journal")).json()
    return entries


async def _until(client: httpx.AsyncClient, outcome: str) -> dict[str, Any]:
    """Read the journal until its last entry has come to ``outcome``."""
    while True:
        entries = await _journal(client)
        if entries and entries[-1]["outcome"] == outcome:
            return entries[-1]


def calculator(expression: str) -> str:
    """Work out arithmetic."""
    return {"2+2": "4"}[expression]


@pytest.mark.parametrize(
    ("agent", "adapter", "calls"),
    [
        (dspy.ReAct("question -> answer", tools=[calculator]), dspy.ChatAdapter(), 3),
        (dspy.ReAct("question -> answer", tools=[calculator]), dspy.JSONAdapter(), 3),
        (
            dspy.ReActV2("question -> answer", tools=[calculator]),
            dspy.ChatAdapter(use_native_function_calling=True),
            2,
        ),
    ],
)
async def test_dspy_runs_its_agents_on_it(
    client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    agent: dspy.Module,
    adapter: dspy.Adapter,
    calls: int,
) -> None:
    """DSPy's own client and agents, by text and by native tool calls, get their answer and their usage."""
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "true")
    lm = dspy.LM(
        "openai/gpt-4o-mini", api_base=f"{client.base_url}/v1", api_key="x", cache=False, num_retries=0
    )
    with dspy.context(lm=lm, adapter=adapter, disable_history=True, trace=None), dspy.track_usage() as usage:
        prediction = await agent.acall(question="What is 2+2?")
    await lm.aclose()
    assert prediction.answer == "4"
    assert usage.get_total_tokens()["openai/gpt-4o-mini"]["total_tokens"] > calls
    entries = await _journal(client)
    assert [entry["outcome"] for entry in entries] == ["answered"] * calls
    assert "What is 2+2?" in str(entries[0]["messages"])


async def test_models_are_listed(client: httpx.AsyncClient) -> None:
    """Clients that look for a model find one."""
    models = (await client.get("/v1/models")).json()
    assert [model["object"] for model in models["data"]] == ["model"]


async def test_a_stream_ends_with_done(client: httpx.AsyncClient) -> None:
    """A streamed answer is server-sent events."""
    response = await client.post(PATH, json=_body("hi", stream=True))
    assert response.headers["content-type"] == "text/event-stream"
    assert response.text.endswith("data: [DONE]\n\n")


async def test_a_wrong_request_is_refused_in_openais_shape(client: httpx.AsyncClient) -> None:
    """A body that is no request, or a wrong directive, is a 400 and no entry in the journal."""
    for request in ({"content": b"{"}, {"json": _body("#sim:fault=nope")}):
        response = await client.post(PATH, **request)
        assert response.status_code == 400
        assert response.json()["error"]["type"] == "invalid_request_error"
    assert await _journal(client) == []


async def test_the_script_is_told_then_the_rules(client: httpx.AsyncClient) -> None:
    """Scripted texts and faults come in order; a wrong script is refused."""
    script = ["first", {"kind": "503"}, None]
    assert (await client.put("/_sim/script", json=script)).status_code == 204
    assert (await client.post(PATH, json=_body("hi"))).json()["choices"][0]["message"]["content"] == "first"
    assert (await client.post(PATH, json=_body("hi"))).status_code == 503
    assert "offline demo engine" in (await client.post(PATH, json=_body("hi"))).text
    assert (await client.put("/_sim/script", json=5)).status_code == 400


async def test_behaviour_is_set_read_and_reset(client: httpx.AsyncClient) -> None:
    """Faults set for all requests happen until they are reset; a wrong behaviour changes nothing."""
    faults = [{"kind": "429", "retry_after_seconds": 3}]
    set_to = (await client.put("/_sim/behaviour", json={"faults": faults})).json()
    assert (await client.get("/_sim/behaviour")).json() == set_to
    assert (await client.put("/_sim/behaviour", json={"latency_seconds": -1})).status_code == 400
    response = await client.post(PATH, json=_body("hi"))
    assert (response.status_code, response.headers["retry-after"]) == (429, "3")
    assert (await client.delete("/_sim/behaviour")).json()["faults"] == []
    assert (await client.post(PATH, json=_body("hi"))).status_code == 200


async def test_the_journal_tells_what_came_and_is_cleared(client: httpx.AsyncClient) -> None:
    """Each request is noted with its model, messages, tools and fault."""
    tools = [{"type": "function", "function": {"name": "calculator"}}]
    body = _body("#sim:fault=500", tools=tools, stream=True)
    await client.post(PATH, json=body)
    entry = await _until(client, "fault")
    noted = {name: entry[name] for name in ("n", "model", "messages", "stream", "tools", "fault")}
    assert noted == {
        "n": 1,
        "model": "m",
        "messages": body["messages"],
        "stream": True,
        "tools": [{"name": "calculator"}],
        "fault": "500",
    }
    assert (await client.delete("/_sim/journal")).json() == []


async def test_latency_holds_the_answer_back(still: httpx.AsyncClient, clock: FakeClock) -> None:
    """No answer before the latency has passed, the answer once it has."""
    answering = asyncio.ensure_future(still.post(PATH, json=_body("#sim:latency=5")))
    await _until(still, "running")
    clock.advance(4.9)
    await _until(still, "running")
    assert not answering.done()
    clock.advance(0.2)
    assert (await answering).status_code == 200
    assert (await _until(still, "answered"))["finished_after_seconds"] == pytest.approx(5.1)


async def test_a_stream_keeps_its_pace(still: httpx.AsyncClient, clock: FakeClock) -> None:
    """With a pace set, each event waits for its time."""
    await still.put("/_sim/behaviour", json={"tokens_per_second": 2})
    await still.put("/_sim/script", json=["eight ch"])
    async with still.stream("POST", PATH, json=_body("hi", stream=True)) as response:
        lines = response.aiter_lines()
        contents = []
        for _ in range(4):
            contents.append(await anext(lines))
            assert await anext(lines) == ""
            clock.advance(0.5)
        assert ["eigh" in contents[1], "t ch" in contents[2]] == [True, True]
        assert await anext(lines) == "data: [DONE]"


@pytest.mark.parametrize("question", ["#sim:latency=60", "#sim:fault=hang", "#sim:fault=hang_mid_body"])
async def test_a_client_that_leaves_is_noticed(still: httpx.AsyncClient, question: str) -> None:
    """A client that closes its connection while it waits is noted as gone, without any time passing."""
    _, writer = await asyncio.open_connection(still.base_url.host, still.base_url.port)
    content = b'{"model": "m", "messages": [{"role": "user", "content": "%s"}]}' % question.encode()
    head = f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(content)}\r\n\r\n"
    writer.write(head.encode() + content)
    await _until(still, "running")
    writer.close()
    await asyncio.wait_for(_until(still, "client_gone"), 5)
