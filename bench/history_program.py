"""What the history checker has served: one call of the language model, and an answer that tells its run."""

from __future__ import annotations

import asyncio
import random
import re
import uuid

import dspy

_LONGEST_PAUSE_SECONDS = 0.02
_RUN = re.compile(r" / run [0-9a-f]{32}")


class Echo(dspy.Module):  # type: ignore[misc] # DSPy carries no types that mypy could follow
    """Answers with the question and a name of the run, so that a second run of one question shows."""

    def __init__(self) -> None:
        super().__init__()
        self.predict = dspy.Predict("conversation: str, question: str -> answer: str")

    async def aforward(self, conversation: str, question: str) -> dspy.Prediction:
        """Ask the model, linger for a moment, echo the question."""
        await self.predict.acall(conversation=conversation, question=question)
        await asyncio.sleep(random.uniform(0, _LONGEST_PAUSE_SECONDS))
        return dspy.Prediction(answer=f"{question} / run {uuid.uuid4().hex}")


def is_answer(question: str, answer: str) -> bool:
    """Whether ``answer`` is a whole answer to ``question``."""
    return answer.startswith(question) and _RUN.fullmatch(answer, len(question)) is not None
