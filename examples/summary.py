"""A plain ``dspy.Predict``: text in, a summary and keywords out."""

from __future__ import annotations

import dspy


class Summarise(dspy.Signature):
    """Summarise the text in one sentence, and name what it is about."""

    text: str = dspy.InputField(desc="what is summarised")
    summary: str = dspy.OutputField(desc="one sentence")
    keywords: list[str] = dspy.OutputField(desc="at most five")


program = dspy.Predict(Summarise)
