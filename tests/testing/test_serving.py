"""Programs served for a test: the real seams, memory and limits, no network."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import dspy
import pytest

from agent_service.config import SettingsError
from agent_service.core.errors import BudgetExhaustedError, DeadlineExceededError, InvalidRequestError
from agent_service.programs.loader import LoadError
from agent_service.testing import NEVER, ToolStep, serve_program, serve_program_sync
from tests.programs.mcp.conftest import ASSETS

if TYPE_CHECKING:
    from pathlib import Path

FINISH = {"next_thought": "done", "next_tool_name": "finish", "next_tool_args": {}}


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    """A step of an agent's."""
    return {"next_thought": "a tool helps", "next_tool_name": tool, "next_tool_args": arguments}


def answer(text: str) -> dict[str, str]:
    """An agent's last reply."""
    return {"reasoning": "as the tools say", "answer": text}


def agent() -> dspy.Module:
    def weather(city: str) -> str:
        """Tell the weather in a city."""
        if city == "Atlantis":
            raise LookupError("no such city")
        return "sunny"

    return dspy.ReAct("conversation: str, question: str -> answer: str", tools=[weather])


async def test_an_agents_steps_are_told() -> None:
    """Tools with their arguments, and how they ended."""
    replies = [call("weather", city="Atlantis"), call("weather", city="Rome"), FINISH, answer("Sunny.")]
    async with serve_program(agent(), replies=replies) as program:
        got = await program.ask("How is the weather in Rome?", user="ada")
        assert program.spec.tools == ("weather",)
    assert got.text == "Sunny."
    assert got.steps == (
        ToolStep("weather", {"city": "Atlantis"}, "error"),
        ToolStep("weather", {"city": "Rome"}, "success"),
    )
    assert (got.usage.lm_calls, got.model, got.seq) == (4, "scripted", 1)
    assert "LookupError: no such city" in program.requests[1].inputs["trajectory"]


async def test_conversations_are_remembered() -> None:
    """By user and session."""
    async with serve_program(agent(), replies=[FINISH, answer("Ada.")] * 3) as program:
        await program.ask("I am Ada.", user="ada")
        await program.ask("Who am I?", user="ada")
        await program.ask("Who am I?", user="ada", session="other")
    conversations = [request.inputs["conversation"] for request in program.requests]
    assert "I am Ada." in conversations[2]
    assert "I am Ada." not in conversations[4]


async def test_typed_inputs_and_outputs() -> None:
    """As JSON has them; what does not fit is refused as at the API."""
    classify = dspy.ChainOfThought("text: str, limit: int -> labels: list[str], is_spam: bool")
    reply = {"reasoning": "r", "labels": ["a"], "is_spam": True}
    async with serve_program(classify, replies=[reply]) as program:
        assert (await program.ask(text="Buy!", limit=3)).outputs == reply
        with pytest.raises(InvalidRequestError):
            await program.ask(text="Buy!", limit="three")


async def test_limits_hold() -> None:
    """The settings are the service's: budgets, deadlines."""
    settings = {"AGENT_MAX_LM_CALLS": "1"}
    async with serve_program(agent(), replies=[FINISH, answer("x")], settings=settings) as program:
        with pytest.raises(BudgetExhaustedError):
            await program.ask("What?")
    async with serve_program(agent(), replies=[NEVER]) as program:
        with pytest.raises(DeadlineExceededError):
            await program.ask("What?", timeout_seconds=0.05)


async def test_every_model_of_the_programs_is_the_scripted_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that a part of it was given: no test asks a provider."""
    monkeypatch.setenv("AGENT_MODEL", "openai/gpt-4o")

    class Two(dspy.Module):  # type: ignore[misc] # DSPy has no types
        def __init__(self) -> None:
            super().__init__()
            self.draft = dspy.Predict("question -> draft")
            self.draft.set_lm(dspy.LM("openai/gpt-4o-mini", api_base="http://127.0.0.1:9/"))
            self.final = dspy.Predict("draft -> answer")

        def forward(self, question: str) -> Any:
            return self.final(draft=self.draft(question=question).draft)

    async with serve_program(Two(), replies=[{"draft": "d"}, {"answer": "a"}]) as program:
        assert (await program.ask("What?")).text == "a"


async def test_a_module_may_be_served_again() -> None:
    """By one test after the other."""
    module = agent()
    for text in ("one", "two"):
        async with serve_program(
            module, replies=[call("weather", city="Rome"), FINISH, answer(text)]
        ) as again:
            assert (await again.ask("What?")).text == text


async def test_a_program_is_found_by_name() -> None:
    """As ``AGENT_PROGRAM`` has it, refusals included; without a name it is the built-in agent."""
    async with serve_program("agent_service.programs.default_agent:default_agent", replies=[]) as program:
        assert program.spec.name == "default_agent"
    async with serve_program(replies=[call("calculator", expression="6*7"), FINISH, answer("42")]) as program:
        assert (await program.ask("6*7?")).steps == (
            ToolStep("calculator", {"expression": "6*7"}, "success"),
        )
    with pytest.raises(LoadError):
        async with serve_program("no.such:program"):
            pass
    with pytest.raises(SettingsError):
        async with serve_program(settings={"AGENT_MAX_STEPS": "none"}):
            pass


def test_tests_that_are_no_coroutines() -> None:
    """The same with a loop of its own, which is closed with it."""
    with serve_program_sync(agent(), replies=[FINISH, answer("x")]) as program:
        assert program.ask("What?", user="ada").text == "x"
        assert program.spec.tools == ("weather",)
        assert (len(program.requests), program.unused_replies) == (2, 0)


async def test_tools_of_mcp_servers(tmp_path: Path) -> None:
    """The whole way of a program that asks for tools: file, server, seam, answer; beside the agent's own."""
    server = {"command": sys.executable, "args": [str(ASSETS / "server.py")], "env": {"NOTES": "notes"}}
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps({"mcpServers": {"sums": {**server, "cwd": str(tmp_path)}}}), encoding="utf-8")
    replies = [call("sums_add", x=40), call("sums_refuse", why="x"), FINISH, answer("42")]
    settings = {"AGENT_MCP_SERVERS": str(file)}
    async with serve_program(replies=replies, settings=settings) as program:
        got = await program.ask("40+2?")
        assert {"calculator", "sums_add"} <= set(program.spec.tools)
    assert [(step.tool, step.outcome) for step in got.steps] == [
        ("sums_add", "success"),
        ("sums_refuse", "error"),
    ]
    assert "42" in program.requests[1].inputs["trajectory"]
