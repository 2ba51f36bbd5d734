"""A program that tells which process it runs in; its version is read when it is imported."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

import dspy

VERSION = Path("version.txt").read_text(encoding="utf-8").strip()

if VERSION == "broken":
    raise RuntimeError("this version cannot be imported")
if VERSION == "short-lived":
    threading.Timer(0.5, os._exit, (3,)).start()


class Telling(dspy.Module):
    """Answers with its process and version; the question may say how long that takes."""

    def __init__(self) -> None:
        super().__init__()
        self.reply = dspy.Predict("question: str -> answer: str")

    async def aforward(self, question: str) -> Any:
        verb, _, rest = question.partition(" ")
        if verb == "wait":
            await asyncio.sleep(float(rest))
        if verb == "block":
            time.sleep(float(rest))  # noqa: ASYNC251 - what must not be done
        return dspy.Prediction(answer=f"{os.getpid()} {VERSION}")
