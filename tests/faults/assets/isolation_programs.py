"""Programs and a tool that block where they run, as users' code does."""

from __future__ import annotations

import asyncio
import time

import dspy

SECONDS = 4.0


def nap() -> str:
    """Sleep a while."""
    time.sleep(SECONDS)
    return "rested"


class Blocking(dspy.Module):
    """Synchronous code that waits."""

    def __init__(self) -> None:
        super().__init__()
        self.reply = dspy.Predict("question: str -> answer: str")

    def forward(self, question: str) -> dspy.Prediction:
        time.sleep(SECONDS)
        return dspy.Prediction(answer=question)


class Crowding(Blocking):
    """Asynchronous code that fills the loop's own threads with waiting."""

    async def aforward(self, question: str) -> dspy.Prediction:
        await asyncio.gather(*(asyncio.to_thread(time.sleep, SECONDS) for _ in range(32)))
        return dspy.Prediction(answer=question)
