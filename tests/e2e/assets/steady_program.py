"""A program that takes a little while, as queries do, and repeats the question."""

from __future__ import annotations

import asyncio
from typing import Any

import dspy


class Steady(dspy.Module):
    """Answers with the question; ``wait 2`` takes two seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.reply = dspy.Predict("question: str -> answer: str")

    async def aforward(self, question: str) -> Any:
        verb, _, seconds = question.partition(" ")
        await asyncio.sleep(float(seconds) if verb == "wait" else 0.05)
        return dspy.Prediction(answer=question)
