"""A program that says what its state told it to; a state can tell it to fail, or to take its time."""

from __future__ import annotations

import asyncio

import dspy


class Versioned(dspy.Module):
    """Answers with its instructions, without a model."""

    def __init__(self) -> None:
        super().__init__()
        self.predict = dspy.Predict(dspy.Signature("question -> answer", "As it is in the code."))

    async def aforward(self, question: str) -> dspy.Prediction:
        """Do as told."""
        del question
        told: str = self.predict.signature.instructions
        await asyncio.sleep(0.005)
        if "fail" in told:
            raise ValueError(told)
        return dspy.Prediction(answer=told)


versioned = Versioned()
