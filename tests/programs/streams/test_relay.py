"""The answer's text on its way: told as it comes, the same reply in the end, and no second try in secret."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import dspy
import pytest
from dspy import lm15

from agent_service.core.breaker import BreakerOptions
from agent_service.core.clock import Deadline
from agent_service.core.observer import AnswerDelta, FallbackTaken, LMCallFinished
from agent_service.core.retry import RetryOptions
from agent_service.core.run import Run
from agent_service.programs.lm.chain import ModelChain
from agent_service.programs.lm.offline import OfflineTransport
from agent_service.programs.lm.verdicts import BrokenOffError
from agent_service.programs.streams.answer_predictor import AnswerWatch, mark_answer_predictor
from agent_service.programs.streams.relay import relay_for
from agent_service.testing import FakeClock, RecordingObserver
from tests.programs.conftest import MODEL, make_seam, response, said, ticks
from tests.programs.streams.conftest import StreamingTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agent_service.programs.lm.seam import LMSeam

REQUEST = lm15.Request(model=MODEL, messages=(lm15.Message.user("hello"),))
ANSWER = said(reasoning="I know.", answer="Forty two\nand more.")


class Watched:
    """A seam behind which the answer's predictor is at work, in a run that somebody watches."""

    def __init__(self, *replies: str | tuple[str, BaseException] | BaseException, **options: Any) -> None:
        self.clock, self.observer = FakeClock(), RecordingObserver()
        self.transport = StreamingTransport(*replies)
        self.seam: LMSeam = make_seam(
            MODEL,
            self.transport,
            clock=self.clock,
            observer=self.observer,
            breaker=BreakerOptions(failure_threshold=100),
            retry=RetryOptions(max_retries=3),
            **options,
        )
        deadline = Deadline.after(self.clock, 30.0)
        self.run = Run(
            request_id="r", deadline=deadline, clock=self.clock, observer=self.observer, is_watched=True
        )

    @property
    def deltas(self) -> list[AnswerDelta]:
        return self.observer.of(AnswerDelta)

    @property
    def outcomes(self) -> list[str]:
        return [event.outcome for event in self.observer.of(LMCallFinished)]

    async def call(self, seam: LMSeam | ModelChain | None = None) -> lm15.Response:
        """One logical call, driven through its pauses."""
        calling = asyncio.create_task(self._call(seam or self.seam))
        await ticks(100)
        while not calling.done():
            self.clock.advance(1.0)
            await ticks(50)
        return await calling

    async def _call(self, seam: LMSeam | ModelChain) -> lm15.Response:
        predictor = dspy.Predict("question -> reasoning, answer")
        mark_answer_predictor(predictor, "answer")
        watch = AnswerWatch()
        with dspy.context(agent_service_run=self.run):
            watch.on_module_start("1", predictor, {})
            try:
                return await seam.complete(REQUEST)
            finally:
                watch.on_module_end("1", None)


async def test_the_reply_is_the_same_as_without_a_watcher() -> None:
    """Text, usage and end are those of the plain call; the deltas are the field's text."""
    watched = Watched(ANSWER)

    assert await watched.call() == response(ANSWER)
    assert "".join(delta.text for delta in watched.deltas) == "Forty two\nand more."
    assert len(watched.deltas) > 2
    assert len({delta.reply for delta in watched.deltas}) == 1
    assert watched.run.usage.total_tokens == 15


async def test_a_failure_before_the_first_text_is_tried_again() -> None:
    """Nobody has read anything yet, so nobody notices."""
    broken = ("[[ ## reasoning ## ]]\nI", lm15.TransportError("reset"))
    watched = Watched(lm15.ServerError("down", status=503), broken, ANSWER)

    assert (await watched.call()).text == ANSWER
    assert watched.outcomes == ["error", "error", "success"]
    assert "".join(delta.text for delta in watched.deltas) == "Forty two\nand more."


async def test_a_failure_after_the_first_text_is_not_tried_again() -> None:
    """A second reply would be another one; the failure is reported to the breaker as what it was."""
    broken = ("[[ ## answer ## ]]\nForty two", lm15.TransportError("reset"))
    watched = Watched(broken, ANSWER)

    with pytest.raises(BrokenOffError) as raised:
        await watched.call()

    assert isinstance(raised.value.__cause__, lm15.TransportError)
    assert watched.transport.streamed == 1
    assert watched.outcomes == ["error"]


async def test_no_other_model_goes_on_with_an_answer() -> None:
    """A fallback would answer from its beginning; before the first text it may."""
    broken = ("[[ ## answer ## ]]\nForty two", lm15.TransportError("reset"))
    watched, other = Watched(broken), Watched(ANSWER)

    with pytest.raises(BrokenOffError):
        await watched.call(ModelChain([watched.seam, other.seam]))

    assert other.transport.streamed == 0
    assert watched.observer.of(FallbackTaken) == []


async def test_an_answer_that_stops_coming_times_out_and_is_not_tried_again() -> None:
    """The limit of a call counts for a stream as a whole."""
    watched = Watched(ANSWER, call_timeout_seconds=5.0)

    async def stalls(request: lm15.Request) -> AsyncIterator[lm15.StreamEvent]:
        watched.transport.streamed += 1
        yield lm15.StreamStartEvent(id="r", model=MODEL)
        yield lm15.StreamDeltaEvent(delta=lm15.TextDelta(text="[[ ## answer ## ]]\nForty two"))
        await asyncio.Event().wait()

    watched.transport.stream = stalls  # type: ignore[method-assign] # a transport of the test's own
    with pytest.raises(BrokenOffError):
        await watched.call()

    assert watched.outcomes == ["timeout"]
    assert watched.transport.streamed == 1


async def test_what_cannot_be_streamed_comes_whole() -> None:
    """Some requests have no stream at some providers: the answer is then told at the end."""
    watched = Watched(lm15.UnsupportedFeatureError("no stream"), ANSWER)

    assert (await watched.call()).text == ANSWER
    assert (watched.outcomes, watched.deltas) == (["success"], [])


async def test_a_run_that_nobody_watches_is_not_streamed() -> None:
    """No predictor is at work that somebody waits for: the plain call."""
    watched = Watched(ANSWER)
    with dspy.context(agent_service_run=watched.run):
        assert (await watched.seam.complete(REQUEST)).text == ANSWER

    assert (watched.transport.streamed, watched.deltas) == (0, [])
    assert relay_for(watched.run, watched.transport) is None


async def test_the_offline_engine_writes_word_by_word() -> None:
    """The pieces are the reply, white space and all."""
    transport = OfflineTransport()
    whole = await transport.complete(REQUEST)
    stream = lm15.AsyncResponseStream(transport.stream(REQUEST), REQUEST)
    pieces = [piece async for piece in stream]

    assert len(pieces) > 3
    assert "".join(pieces) == whole.text
    assert await stream.response() == whole
