"""Programs with fields of their own, as users write them."""

from __future__ import annotations

from typing import Literal

import dspy
from pydantic import BaseModel


class Person(BaseModel):
    """Somebody who is spoken of."""

    name: str
    age: int | None = None


class Triage(dspy.Signature):
    """Sort a customer's message."""

    message: str = dspy.InputField(desc="what the customer wrote")
    language: Literal["en", "de"] = dspy.InputField()
    people: list[Person] = dspy.InputField(default=[])
    history: dspy.History = dspy.InputField()
    label: Literal["good", "bad"] = dspy.OutputField()
    score: float = dspy.OutputField()


async def triage() -> dspy.Module:
    return dspy.ChainOfThought(Triage)


class Shout(dspy.Module):
    """Synchronous, and asks no model at all."""

    signature = "text, times: int -> shouted: str, seen: str"

    def forward(self, text: str, times: int = 1, history: dspy.History | None = None) -> dspy.Prediction:
        messages = history.messages if history is not None else []
        seen = ", ".join(str(message["shouted"]) for message in messages)
        return dspy.Prediction(shouted=text.upper() * times, seen=seen)
