"""``dspy.Parallel`` inside: each review is read at the same time as the others, in threads."""

from __future__ import annotations

from typing import Literal

import dspy
from pydantic import BaseModel


class Opinion(BaseModel):
    """What one review says."""

    mood: Literal["good", "mixed", "bad"]
    about: str


class ReadReview(dspy.Signature):
    """Tell the mood of a review and what it is about."""

    review: str = dspy.InputField()
    opinion: Opinion = dspy.OutputField()


class JudgeReviews(dspy.Signature):
    """What callers see: reviews in, an opinion for each out."""

    reviews: list[str] = dspy.InputField(desc="one text for each review")
    opinions: list[Opinion] = dspy.OutputField(desc="in the order of the reviews")
    good_share: float = dspy.OutputField(desc="share of good ones, from 0 to 1")


class Reviews(dspy.Module):
    """One call of the model for each review, four at once."""

    signature = JudgeReviews

    def __init__(self) -> None:
        super().__init__()
        self.read = dspy.Predict(ReadReview)

    def forward(self, reviews: list[str]) -> dspy.Prediction:
        """Read all of them."""
        calls = [(self.read, {"review": review}) for review in reviews]
        found = dspy.Parallel(num_threads=4, disable_progress_bar=True)(calls)
        opinions = [prediction.opinion for prediction in found]
        good = sum(opinion.mood == "good" for opinion in opinions)
        return dspy.Prediction(opinions=opinions, good_share=good / len(opinions) if opinions else 0.0)
