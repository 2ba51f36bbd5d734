"""Programs whose streams are followed: one that waits in a tool, one that has very much to tell."""

from __future__ import annotations

import asyncio
import time

import dspy

STEPS = 6000


async def wait(seconds: float) -> str:
    """Wait."""
    await asyncio.sleep(seconds)
    return "done"


def block(seconds: float) -> str:
    """Wait, in a thread."""
    time.sleep(seconds)
    return "done"


async def note(**texts: str) -> str:
    """Take note."""
    return "noted"


class Tooled(dspy.Module):
    """Calls a tool before it answers."""

    def __init__(self, tool: dspy.Tool) -> None:
        super().__init__()
        self.tool = tool
        self.answer = dspy.Predict("question -> answer")


class Waiting(Tooled):
    async def aforward(self, question: str) -> dspy.Prediction:
        await self.tool.acall(seconds=30.0)
        return await self.answer.acall(question=question)


class Blocking(Tooled):
    def forward(self, question: str) -> dspy.Prediction:
        self.tool(seconds=3.0)
        return self.answer(question=question)


class Talkative(Tooled):
    async def aforward(self, question: str) -> dspy.Prediction:
        if "much" in question:
            texts = {f"text_{number}": "x" * 200 for number in range(20)}
            for _ in range(STEPS):
                await self.tool.acall(**texts)
                await asyncio.sleep(0)
        return await self.answer.acall(question=question)


waiting = Waiting(dspy.Tool(wait))
blocking = Blocking(dspy.Tool(block))
talkative = Talkative(dspy.Tool(note))
