"""A program as a user writes it: synchronous, with fields of its own."""

from __future__ import annotations

import dspy


class Support(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.reply = dspy.Predict("conversation: str, request: str -> reply: str")

    def forward(self, conversation: str, request: str) -> dspy.Prediction:
        return self.reply(conversation=conversation, request=request)


support = Support()
