"""The events of one run, put in order, numbered and handed to whoever follows it."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from agent_service.core.observer import AnswerDelta
from agent_service.core.stream_events import ANSWER, ERROR, StreamEvent
from agent_service.runtime.answer_text import as_text
from agent_service.runtime.streams.steps import as_json, step_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent_service.core.clock import Clock, Timer
    from agent_service.core.observer import Event

PACE_SECONDS = 0.05
"""Between two deltas of an answer; what comes meanwhile goes with the second."""


class EventFeed:
    """Listens to one run, on any thread, and tells its followers on the event loop that made the feed.

    Events keep the order in which they were observed. Of the answer's text the first piece goes out at once
    and the others paced. When a later reply of a language model replaces an earlier one, ``answer.reset``
    says so, and when the program's answer is not what was sent, it is put right before the end: the deltas
    since the last reset are always the answer's text.

    Args:
        clock: paces the deltas.
        followers: get each event; must not raise.

    ``begun`` is done when they have the first one.
    """

    def __init__(self, *, clock: Clock, followers: Sequence[Callable[[StreamEvent], None]]) -> None:
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.has_ended = False
        self._clock = clock
        self._followers = followers
        self._loop = self.begun.get_loop()
        self._observed: deque[Event] = deque()
        self._last_id = 0
        self._reply = 0
        self._waiting_text = ""
        self._told_text: list[str] = []
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        return f"<EventFeed {self._last_id} events{', ended' if self.has_ended else ''}>"

    def observe(self, event: Event) -> None:
        """Take note of ``event``; its followers are told in their own time."""
        self._observed.append(event)
        if asyncio._get_running_loop() is self._loop:  # noqa: SLF001 - documented for this; None where no loop runs
            self._tell_observed()
        else:
            with suppress(RuntimeError):  # the loop is closed: nobody follows any more
                self._loop.call_soon_threadsafe(self._tell_observed)

    def succeed(self, answer_text: str, data: str) -> None:
        """End with the answer; ``data`` is the whole of it."""
        self._tell_observed()
        self._tell_text()
        told = "".join(self._told_text)
        if not answer_text.startswith(told):
            self._reset()
            told = ""
        if len(told) < len(answer_text):
            self._tell("answer.delta", as_json({"text": answer_text[len(told) :]}))
        self._end(ANSWER, data)

    def fail(self, data: str) -> None:
        """End with an error; ``data`` is its problem document."""
        self._tell_observed()
        self._tell_text()
        self._end(ERROR, data)

    def _tell_observed(self) -> None:
        while self._observed:
            event = self._observed.popleft()
            if self.has_ended:
                continue
            if isinstance(event, AnswerDelta):
                self._take_text(event)
            else:
                self._tell_step(step_of(event))

    def _tell_step(self, step: tuple[str, dict[str, Any]] | None) -> None:
        if step is not None:
            kind, data = step
            self._tell_text()
            self._tell(kind, as_json(data))

    def _take_text(self, delta: AnswerDelta) -> None:
        if delta.reply < self._reply:
            return
        if delta.reply > self._reply:
            self._reply = delta.reply
            self._waiting_text = ""
            self._reset()
        self._waiting_text += as_text(delta.text)
        if self._timer is None:
            self._tell_text_paced()

    def _tell_text_paced(self) -> None:
        """Tell what waits, and look again after a while; when nothing came meanwhile, rest."""
        self._timer = None
        if self._waiting_text:
            self._tell_text()
            self._timer = self._clock.call_later(PACE_SECONDS, self._tell_text_paced)

    def _tell_text(self) -> None:
        text, self._waiting_text = self._waiting_text, ""
        if text:
            self._told_text.append(text)
            self._tell("answer.delta", as_json({"text": text}))

    def _reset(self) -> None:
        if self._told_text:
            self._told_text.clear()
            self._tell("answer.reset", "{}")

    def _end(self, kind: str, data: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._tell(kind, data)
        self.has_ended = True

    def _tell(self, kind: str, data: str) -> None:
        self._last_id += 1
        event = StreamEvent(self._last_id, kind, data)
        for follower in self._followers:
            follower(event)
        if not self.begun.done():
            self.begun.set_result(None)
