"""A synchronous program that asks twice at once, in threads that inherit no context."""

from __future__ import annotations

import dspy


class Twice(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.reply = dspy.Predict("question -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        examples = [dspy.Example(question=question).with_inputs("question") for _ in range(2)]
        first, _ = dspy.Parallel(num_threads=2, disable_progress_bar=True)(
            [(self.reply, example) for example in examples]
        )
        return dspy.Prediction(answer=first.answer)
