"""Retrieval and an answer with a type: the passages that fit are looked up in a folder beside this file."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path

import dspy
from pydantic import BaseModel, Field

_FOLDER = Path(__file__).parent / "policies"
_WORD = re.compile(r"[a-z0-9]+")


class Passage(BaseModel):
    """A piece of text and where it stands."""

    source: str
    text: str


class CitedAnswer(BaseModel):
    """An answer that can be checked."""

    text: str = Field(description="the answer, in one or two sentences")
    sources: list[str] = Field(description="the sources that it stands on")
    is_certain: bool = Field(description="whether the passages answer the question")


class AnswerFromPassages(dspy.Signature):
    """Answer from the passages alone; say so when they do not tell."""

    passages: list[Passage] = dspy.InputField()
    question: str = dspy.InputField()
    answer: CitedAnswer = dspy.OutputField()


class Corpus:
    """Passages, ranked for a question by the rarity of the words they share with it (TF-IDF)."""

    def __init__(self, folder: Path) -> None:
        self._passages = [
            Passage(source=path.name, text=path.read_text()) for path in sorted(folder.glob("*.md"))
        ]
        self._words = [Counter(_WORD.findall(passage.text.lower())) for passage in self._passages]

    def best(self, question: str, *, count: int) -> list[Passage]:
        """The ``count`` passages that fit best."""
        wanted = set(_WORD.findall(question.lower()))
        weight = {word: math.log(1 + len(self._words) / (1 + self._holding(word))) for word in wanted}
        scores = [sum(words[word] * weight[word] for word in wanted) for words in self._words]
        order = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
        return [self._passages[at] for at in order[:count]]

    def _holding(self, word: str) -> int:
        return sum(word in words for words in self._words)


class Policies(dspy.Module):
    """Looks up what fits, then answers from it."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.ChainOfThought(AnswerFromPassages)
        self._corpus = Corpus(_FOLDER)

    def forward(self, question: str) -> dspy.Prediction:
        """Both steps; runs in a thread of the service."""
        return self.answer(question=question, passages=self._corpus.best(question, count=2))

    async def aforward(self, question: str) -> dspy.Prediction:
        """The same on the event loop, which is what the service uses when it is there."""
        return await self.answer.acall(question=question, passages=self._corpus.best(question, count=2))
