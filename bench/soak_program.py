"""What the soak serves: one LM call, an agent with tools, or a thread, by the question's first word.

It also writes the number of the event loop's tasks to a file every second, because no metric tells it.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
from pathlib import Path

import dspy

from agent_service.programs.default_agent import default_agent

TOOLS = "Tools:"
THREAD = "Thread:"
TASKS_FILE = "SOAK_TASKS_FILE"


class Mixture(dspy.Module):  # type: ignore[misc] # DSPy carries no types that mypy could follow
    """Most queries are cheap, so that many of them fit into minutes."""

    def __init__(self) -> None:
        super().__init__()
        self.agent = default_agent()
        self.predict = dspy.Predict("conversation: str, question: str -> answer: str")

    async def aforward(self, conversation: str, question: str) -> dspy.Prediction:
        """Answer by the part that the question names."""
        _task_count.begin()
        if question.startswith(TOOLS):
            return await self.agent.acall(conversation=conversation, question=question)
        if question.startswith(THREAD):
            return await dspy.asyncify(self.predict)(conversation=conversation, question=question)
        return await self.predict.acall(conversation=conversation, question=question)


class TaskCount:
    """Writes how many tasks the running loop has, by a timer, which is none itself."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self) -> None:
        """Write now and every second from now on; again does nothing."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._write(self._loop, Path(os.environ[TASKS_FILE]))

    def _write(self, loop: asyncio.AbstractEventLoop, path: Path) -> None:
        fresh = path.with_suffix(".new")
        fresh.write_text(str(len(asyncio.all_tasks(loop))))
        fresh.replace(path)
        # In a context of its own, or the timer would keep the first query's run alive.
        loop.call_later(1.0, self._write, loop, path, context=contextvars.Context())


_task_count = TaskCount()
