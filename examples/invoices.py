"""A module that is only synchronous: it is run in a thread, and can be stopped at each call of the model."""

from __future__ import annotations

from decimal import Decimal

import dspy
from pydantic import BaseModel


class Line(BaseModel):
    """One position of an invoice."""

    what: str
    count: int
    unit_price: float


class ReadInvoice(dspy.Signature):
    """Read the positions of an invoice."""

    document: str = dspy.InputField()
    lines: list[Line] = dspy.OutputField()


class TotalInvoice(dspy.Signature):
    """What callers see: an invoice in, its positions and their sum out."""

    document: str = dspy.InputField(desc="the text of the invoice")
    currency: str = dspy.InputField(default="EUR")
    lines: list[Line] = dspy.OutputField()
    total: str = dspy.OutputField(desc="the sum with its currency")


class Invoices(dspy.Module):
    """The model reads, Python calculates."""

    signature = TotalInvoice

    def __init__(self) -> None:
        super().__init__()
        self.read = dspy.Predict(ReadInvoice)

    def forward(self, document: str, currency: str = "EUR") -> dspy.Prediction:
        """Read the positions and add them up."""
        lines = self.read(document=document).lines
        total = sum((Decimal(str(line.unit_price)) * line.count for line in lines), Decimal(0))
        return dspy.Prediction(lines=lines, total=f"{total:.2f} {currency}")
