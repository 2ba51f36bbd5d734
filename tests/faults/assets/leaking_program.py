"""A program that quotes the prompt and the key wherever it can, each question in the way it ends with."""

from __future__ import annotations

import logging
from typing import Any

import dspy


class Leaking(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.reply = dspy.Predict("question: str -> answer: str")

    def forward(self, question: str) -> Any:
        key = "sk-proj-7heKeyCanary31337"
        if question.endswith("raise"):
            raise ValueError(f"cannot answer {question!r} with {key}")
        if question.endswith("chain"):
            raise RuntimeError(question) from KeyError(question, key)
        if question.endswith("log"):
            logging.getLogger("dspy").error("could not parse %s", question)
            logging.getLogger("litellm").error("the request with api_key=%s failed", key)
            logging.getLogger(__name__).error("no answer", exc_info=dspy.LMError(question))
            return dspy.Prediction(answer="logged")
        if question.endswith("echo"):
            logging.getLogger(__name__).warning("asked %s", question, extra={"asked": question})
            return dspy.Prediction(answer="echoed")
        if question.endswith("type"):
            return {"wrong": question, "key": key}
        return dspy.Prediction(question=question, key=key)


program = Leaking()
