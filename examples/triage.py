"""A classifier with closed sets of answers: ``dspy.ChainOfThought`` over ``Literal`` outputs."""

from __future__ import annotations

from typing import Literal

import dspy


class Triage(dspy.Signature):
    """Sort a customer's message, so that it reaches who can help."""

    message: str = dspy.InputField()
    is_member: bool = dspy.InputField(desc="whether the customer pays for the service", default=False)
    category: Literal["delivery", "billing", "returns", "other"] = dspy.OutputField()
    urgency: Literal["low", "normal", "high"] = dspy.OutputField()


program = dspy.ChainOfThought(Triage)
