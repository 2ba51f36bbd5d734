"""A program that was optimised: ``python optimised.py`` saves its demonstrations in ``optimised.json``."""

from __future__ import annotations

from pathlib import Path

import dspy


class Headline(dspy.Signature):
    """Write a headline for the news."""

    news: str = dspy.InputField()
    headline: str = dspy.OutputField(desc="at most eight words")


program = dspy.Predict(Headline)

_TRAINING = [
    (
        "The city council voted to make all buses free from January on.",
        "City buses will be free from January",
    ),
    (
        "After nine years of work the old bridge was opened again on Sunday.",
        "Old bridge opens again after nine years",
    ),
    ("Researchers found that bees remember faces for several days.", "Bees remember faces for days"),
]

if __name__ == "__main__":
    examples = [dspy.Example(news=news, headline=line).with_inputs("news") for news, line in _TRAINING]
    optimised = dspy.LabeledFewShot(k=2).compile(program, trainset=examples)
    optimised.save(Path(__file__).with_suffix(".json"))
