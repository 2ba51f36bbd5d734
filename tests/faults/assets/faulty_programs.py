"""Programs with one bad habit each: the question's first word names it, any other question is answered."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from typing import Any, NoReturn

import dspy

LONG_SECONDS = 1.5


class GiveUpError(BaseException):
    """What no ``except Exception`` sees."""


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("secret-of-the-program")


def _raise(error: BaseException) -> NoReturn:
    raise error


def _recurse() -> Any:
    return _recurse()


def _swallow() -> str:
    """Works on whatever happens to its query."""
    time.sleep(LONG_SECONDS)
    return "too late"


HABITS: dict[str, Any] = {
    "raise": lambda: _raise(ValueError("secret-of-the-program")),
    "recurse": _recurse,
    "unprintable": Unprintable,
    "object": object,
    "megabytes": lambda: "x" * 10_000_000,
    "surrogates": lambda: "half \ud800 of a pair",
    "exit": lambda: sys.exit(3),
    "stop-iteration": lambda: _raise(StopIteration()),
    "base-exception": lambda: _raise(GiveUpError()),
    "keyboard-interrupt": lambda: _raise(KeyboardInterrupt()),
    "cancelled": lambda: _raise(asyncio.CancelledError()),
    "memory": lambda: str(len(bytearray(2 * 2**30))),
    "os-exit": lambda: os._exit(7),
    "segfault": lambda: ctypes.string_at(0),
    "block": lambda: time.sleep(LONG_SECONDS) or "done",
    "block-long": lambda: time.sleep(2 * LONG_SECONDS) or "done",
    "swallow": _swallow,
}


class Faulty(dspy.Module):
    """The habits in synchronous code."""

    def __init__(self) -> None:
        super().__init__()
        self.reply = dspy.Predict("question: str -> answer: str")

    def forward(self, question: str) -> Any:
        habit = question.split(maxsplit=1)[0]
        if habit == "none":
            return None
        if habit in HABITS:
            return dspy.Prediction(answer=HABITS[habit]())
        return self.reply(question=question)


class FaultyAsync(Faulty):
    """The same on the event loop, where they can do more harm."""

    async def aforward(self, question: str) -> Any:
        habit = question.split(maxsplit=1)[0]
        if habit == "swallow":
            await self.work_on()
            return dspy.Prediction(answer="too late")
        if habit == "none":
            return None
        if habit in HABITS:
            return dspy.Prediction(answer=HABITS[habit]())
        return await self.reply.acall(question=question)

    async def work_on(self) -> None:
        end = time.monotonic() + LONG_SECONDS
        while (left := end - time.monotonic()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                continue


class WithTool(Faulty):
    """Calls a tool of its own whose habit the question names."""

    def __init__(self) -> None:
        super().__init__()
        self.tool = dspy.Tool(lambda habit: str(HABITS[habit]()), name="faulty", args={"habit": {}})

    def forward(self, question: str) -> Any:
        habit = question.split(maxsplit=1)[0]
        if habit in HABITS:
            return dspy.Prediction(answer=self.tool(habit=habit))
        return self.reply(question=question)


class WithToolAsync(WithTool):
    """The same from the event loop."""

    async def aforward(self, question: str) -> Any:
        habit = question.split(maxsplit=1)[0]
        if habit in HABITS:
            return dspy.Prediction(answer=await self.tool.acall(habit=habit))
        return await self.reply.acall(question=question)
