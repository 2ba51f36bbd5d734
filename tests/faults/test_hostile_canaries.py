"""Keys, prompts and answers show up nowhere but where they belong, whatever goes wrong."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.faults.aftermath import log_lines
from tests.faults.at_rest import ASSETS

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tests.processes import Service, Simulator

KEY = "sk-proj-7heKeyCanary31337"
PROMPT = "ThePromptCanary31337"
ANSWER = "TheAnswerCanary31337"
CANARIES = ("keycanary", "promptcanary", "answercanary")

FAULTS = (
    *("400", "401", "402", "403", "404", "422", "429", "500", "503", "529"),
    *("reset", "reset_mid_body", "truncated", "malformed_json", "empty_json", "wrong_content_type"),
    *("nonsense", "context_length_exceeded", "insufficient_quota", "huge,bytes=100000", "hang"),
)
UNREADABLE = ANSWER, f"[[ ## wrong ## ]]\n{ANSWER}", f"[[ ## reply ## ]]{ANSWER}", f'{{"reply": "{ANSWER}'
READABLE = f"[[ ## reply ## ]]\n{ANSWER}\n\n[[ ## completed ## ]]"
BAD_BODIES = (
    f'{{"user_id": "ada", "question": "{PROMPT}',
    f'{{"user_id": "ada", "question": "{PROMPT}"}} {PROMPT}',
    f'{{"user_id": "ada", "question": "{PROMPT}\\u0000"}}',
    f'{{"user_id": 7, "question": ["{PROMPT}"]}}',
    f'{{"user_id": "ada", "question": "{PROMPT} {"x" * 40_000}"}}',
    f'{{"user_id": "ada", "question": "{PROMPT} {"x" * 1_200_000}"}}',
)


def _assert_kept_to_itself(service: Service, responses: list[httpx.Response]) -> None:
    errors = [response.text for response in responses if response.status_code != 200]
    answers = [response.json() for response in responses if response.status_code == 200]
    metrics = service.client.get("/api/v1/metrics").text
    health = service.client.get("/api/v1/health").text
    assert errors
    assert len(log_lines(service)) >= len(errors)
    for text in (service.output, metrics, health, *errors):
        assert not [canary for canary in CANARIES if canary in text.lower()], text
    assert all("keycanary" not in json.dumps(answer).lower() for answer in answers)


def test_no_canary_leaves_its_cage_in_a_storm_of_faults(
    serve: Callable[..., Service], simulator: Simulator
) -> None:
    """Some sixty queries with every fault: log, metrics, health and errors hold none of the texts."""
    faulty = simulator.settings(
        AGENT_API_KEY=KEY,
        AGENT_PROGRAM="own_program:support",
        AGENT_MAX_RETRIES="1",
        CIRCUIT_BREAKER_THRESHOLD="1000",
        LOG_LEVEL="info,agent_service=debug",
    )
    service = serve(**faulty)
    service.url()
    simulator.script(*UNREADABLE, *[READABLE] * 100)
    responses = [service.ask(f"{PROMPT} {n}", user_id="reader") for n in range(6)]

    with ThreadPoolExecutor(8) as threads:
        questions = [f"{PROMPT} #sim:fault={fault}" for fault in FAULTS] * 2
        asked = [
            threads.submit(service.ask, question, user_id=f"user{n}", X_Request_Timeout="1.5")
            for n, question in enumerate(questions)
        ]
        responses += [at.result() for at in asked]
    for body in BAD_BODIES:
        headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
        responses.append(service.client.post("/api/v1/query", content=body, headers=headers))

    assert len({response.status_code for response in responses}) >= 7
    assert any(ANSWER in response.text for response in responses if response.status_code == 200)
    assert any(f"Bearer {KEY}" in str(entry) or PROMPT in str(entry) for entry in simulator.journal())
    _assert_kept_to_itself(service, responses)


def test_what_a_program_raises_stays_inside(serve: Callable[..., Service], simulator: Simulator) -> None:
    """A bug of the served program that quotes prompt and key is told by its class only."""
    service = serve(
        **simulator.settings(
            AGENT_API_KEY=KEY, PYTHONPATH=str(ASSETS), AGENT_PROGRAM="leaking_program:program"
        )
    )

    responses = [service.ask(f"{PROMPT} {way}") for way in ("raise", "chain", "log", "type", "answer")]

    assert [response.status_code for response in responses] == [500, 500, 200, 500, 500]
    causes = [line["cause"].split(" ")[0] for line in service.log("query") if "cause" in line]
    assert causes == ["ValueError", "RuntimeError", "TypeError", "TypeError"]
    _assert_kept_to_itself(service, responses)
