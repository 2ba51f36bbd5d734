"""However a program spreads its work: every LM call is seen, and a stop reaches all of them."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import dspy
import pytest

from agent_service.core.observer import LMCallFinished, LMCallStarted
from agent_service.core.run import RunStoppedError, StopReason
from tests.programs.conftest import Async, Hang, Program, Sync, eventually, said, scripted_lm, ticks
from tests.programs.conftest import ScriptedTransport as Transport

if TYPE_CHECKING:
    from tests.programs.conftest import Served, Serving

QA = "question -> answer"
FOUR = said(answer="4")
CALLS = 3


async def gathered(module: Program, question: str) -> Any:
    """Tasks side by side."""
    return (await asyncio.gather(*(module.answer.acall(question=question) for _ in range(CALLS))))[0]


async def in_threads(module: Program, question: str) -> Any:
    """Threads side by side, from async code."""
    calls = (asyncio.to_thread(module.answer, question=question) for _ in range(CALLS))
    return (await asyncio.gather(*calls))[0]


async def asyncified(module: Program, question: str) -> Any:
    """DSPy's own way into threads."""
    call = dspy.asyncify(module.answer)
    return (await asyncio.gather(*(call(question=question) for _ in range(CALLS))))[0]


def parallel(module: Program, question: str) -> Any:
    """DSPy's own threads, from sync code."""
    batch = dspy.Parallel(num_threads=CALLS, disable_progress_bar=True)
    return batch([(module.answer, {"question": question})] * CALLS)[0]


def own_loop(module: Program, question: str) -> Any:
    """An event loop of the program's own, in its thread."""
    return asyncio.run(gathered(module, question))


WAYS = [
    pytest.param(Async, gathered, id="gather"),
    pytest.param(Async, in_threads, id="to_thread"),
    pytest.param(Async, asyncified, id="asyncify"),
    pytest.param(Sync, parallel, id="Parallel"),
    pytest.param(Sync, own_loop, id="asyncio.run"),
]


async def stopped(served: Served, *, calls: int) -> None:
    """A query that is stopped when ``calls`` calls hang; nothing of it may begin again."""
    run = served.new_run()
    task = asyncio.create_task(served.ask(run=run))
    await eventually(lambda: len(served.transport.requests) == calls)
    await ticks()
    run.stop(StopReason.CALLER_LEFT)

    with pytest.raises(RunStoppedError):
        await asyncio.wait_for(task, 5)
    await asyncio.wait_for(run.settled(), 5)
    await eventually(lambda: served.transport.cancelled == calls)
    assert len(served.observer.of(LMCallStarted)) == calls
    assert {event.outcome for event in served.observer.of(LMCallFinished)} == {"stopped"}


@pytest.mark.parametrize(("kind", "body"), WAYS)
async def test_every_call_is_seen_with_its_run(serve: Serving, kind: type[Program], body: Any) -> None:
    """The run follows the work, so the calls are counted and told as its own, on the service's loop."""
    served = await serve(kind(body), FOUR)
    run = served.new_run()
    reply = await served.ask(run=run)
    assert reply.outputs == {"answer": "4"}
    assert run.usage.lm_calls == CALLS
    assert [event.request_id for event in served.observer.of(LMCallStarted)] == ["r1"] * CALLS
    assert set(served.transport.loops) == {asyncio.get_running_loop()}


@pytest.mark.parametrize(("kind", "body"), WAYS)
async def test_a_stop_reaches_every_call(serve: Serving, kind: type[Program], body: Any) -> None:
    """All calls in flight are cancelled, none begins after, and no thread of the run is left."""
    await stopped(await serve(kind(body), Hang()), calls=CALLS)


async def test_more_work_than_threads_does_not_begin_after_the_stop(serve: Serving) -> None:
    """What DSPy still has in its queue meets the stop at the seam."""

    def many(module: Program, question: str) -> Any:
        batch = dspy.Parallel(num_threads=2, disable_progress_bar=True)
        return batch([(module.answer, {"question": question})] * 10)[0]

    await stopped(await serve(Sync(many), Hang()), calls=2)


async def test_a_stop_reaches_a_sync_module_at_its_next_seam(serve: Serving) -> None:
    """A thread that computes cannot be interrupted; its next call is not made, its slot held till then."""
    go = threading.Event()

    def body(module: Program, question: str) -> Any:
        go.wait(10)
        return module.answer(question=question)

    served = await serve(Sync(body), FOUR)
    run = served.new_run()
    task = asyncio.create_task(served.ask(run=run))
    await ticks()
    run.stop(StopReason.CALLER_LEFT)
    with pytest.raises(RunStoppedError):
        await task
    assert not run.is_settled

    go.set()
    await asyncio.wait_for(run.settled(), 5)
    assert served.transport.requests == []


async def test_the_deadline_stops_a_program(serve: Serving) -> None:
    """Without anybody asking."""
    served = await serve(dspy.Predict(QA), Hang())
    run = served.new_run(seconds=0.05)
    with pytest.raises(RunStoppedError) as ended, run.stopped_at_deadline():
        await served.ask(run=run)
    assert ended.value.reason is StopReason.DEADLINE


async def swallowing(module: Program, question: str) -> Any:
    """Handles everything, the stop too, and answers."""
    try:
        await module.answer.acall(question=question)
    except BaseException:  # noqa: BLE001 - as careless programs do
        return dspy.Prediction(answer="never mind")


async def sleeping(module: Program, question: str) -> Any:
    """Handles the cancellation of what is no seam, and goes on to one."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return await module.answer.acall(question=question)


async def translating(module: Program, question: str) -> Any:
    """Makes an error of its own of everything."""
    try:
        return await module.answer.acall(question=question)
    except BaseException as error:
        raise ValueError("no luck") from error


@pytest.mark.parametrize("body", [swallowing, sleeping, translating])
async def test_a_program_that_swallows_the_stop_is_stopped_all_the_same(serve: Serving, body: Any) -> None:
    """It ends as a stop, with no answer to be stored, and with no further call."""
    served = await serve(Async(body), Hang())
    run = served.new_run()
    task = asyncio.create_task(served.ask(run=run))
    await eventually(lambda: served.transport.requests or body is sleeping)
    await ticks()
    run.stop(StopReason.SHUTDOWN)
    with pytest.raises(RunStoppedError) as ended:
        await asyncio.wait_for(task, 5)
    assert ended.value.reason is StopReason.SHUTDOWN
    assert len(served.transport.requests) == (0 if body is sleeping else 1)


async def test_a_program_may_cancel_its_own_work(serve: Serving) -> None:
    """A call with a time limit of the program's own is given up, and the program goes on."""

    async def body(module: Program, question: str) -> Any:
        try:
            await asyncio.wait_for(module.answer.acall(question=question), 0.02)
        except asyncio.TimeoutError:
            return await module.answer.acall(question=question)

    served = await serve(Async(body), Hang(), FOUR)
    assert await served.answer() == "4"
    assert [event.outcome for event in served.observer.of(LMCallFinished)] == ["stopped", "success"]
    assert served.seams[0].breaker.refusal() is None


async def test_a_cancellation_from_outside_stays_one(serve: Serving) -> None:
    """When the service itself is torn down, its tasks end cancelled."""
    served = await serve(dspy.Predict(QA), Hang())
    task = asyncio.create_task(served.ask())
    await eventually(lambda: served.transport.requests)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert served.transport.cancelled == 1


async def test_a_thread_without_context_still_meets_the_breaker(serve: Serving) -> None:
    """A plain thread of the program's belongs to no query; its calls go through the seam all the same."""

    class Threaded(dspy.Module):  # type: ignore[misc] # DSPy has no types
        def __init__(self, lm: dspy.LM) -> None:
            super().__init__()
            self.answer = dspy.Predict(QA)
            self.answer.lm = lm

        def forward(self, question: str) -> Any:
            answers: list[Any] = []
            thread = threading.Thread(target=lambda: answers.append(self.answer(question=question)))
            thread.start()
            thread.join()
            return answers[0]

    own = Transport(FOUR)
    served = await serve(Threaded(scripted_lm(own)), "unused")
    assert await served.answer() == "4"
    assert own.loops == [asyncio.get_running_loop()]
    assert [event.request_id for event in served.observer.of(LMCallStarted)] == [""]


async def test_many_sync_queries_at_once(serve: Serving) -> None:
    """More queries than threads wait their turn, none is lost, no loop is blocked."""
    served = await serve(Sync(lambda module, question: module.answer(question=question)), FOUR, threads=2)
    replies = await asyncio.wait_for(asyncio.gather(*(served.ask() for _ in range(20))), 20)
    assert len(replies) == 20


async def test_programs_that_try_again_themselves_stay_at_the_seam(serve: Serving) -> None:
    """BestOfN copies module and LM for each attempt: every attempt is the run's."""
    best = dspy.BestOfN(dspy.Predict(QA), N=3, reward_fn=lambda *_: 0.0, threshold=1.0)
    served = await serve(best, FOUR)
    run = served.new_run()
    reply = await served.ask(run=run)
    assert reply.outputs == {"answer": "4"}
    assert run.usage.lm_calls == 3


async def streaming(module: Program, question: str) -> Any:
    """DSPy's ``streamify``, from async code."""
    listener = dspy.streaming.StreamListener(signature_field_name="answer")
    stream = dspy.streamify(module.answer, stream_listeners=[listener], is_async_program=True)
    return [part async for part in stream(question=question)][-1]


async def streaming_sync(module: Program, question: str) -> Any:
    """The same over a program of DSPy's in a thread."""
    stream = dspy.streamify(module.answer)
    return [part async for part in stream(question=question)][-1]


@pytest.mark.parametrize("body", [streaming, streaming_sync])
async def test_a_program_may_stream_to_itself(serve: Serving, body: Any) -> None:
    """DSPy asks the engine for events: it gets the whole answer in events, through the seam."""
    served = await serve(Async(body), FOUR)
    assert await served.answer() == "4"
    assert len(served.observer.of(LMCallFinished)) == 1


async def test_closing_lets_go_of_threads_that_wait(serve: Serving) -> None:
    """A thread that is left behind and still calls would wait for a loop that is gone, for ever."""
    ended: list[BaseException] = []

    class Threaded(dspy.Module):  # type: ignore[misc] # DSPy has no types
        def __init__(self, lm: dspy.LM) -> None:
            super().__init__()
            self.answer = dspy.Predict(QA)
            self.answer.lm = lm

        def call(self, question: str) -> None:
            try:
                self.answer(question=question)
            except Exception as error:  # noqa: BLE001 - whatever it is, the thread ends
                ended.append(error)

        def forward(self, question: str) -> Any:
            threading.Thread(target=self.call, args=(question,)).start()
            return dspy.Prediction(answer="so long")

    own = Transport(Hang())
    served = await serve(Threaded(scripted_lm(own)), "unused")
    assert await served.answer() == "so long"
    await own.called.wait()
    await served.program.close()
    await eventually(lambda: ended)


async def test_closing_lets_go_of_everything(serve: Serving) -> None:
    """Connections are closed; threads take no more work."""
    served = await serve(dspy.Predict(QA), FOUR)
    await served.program.close()
    with pytest.raises(RuntimeError):
        await served.program._parts.threads.do(served.new_run(), print)  # noqa: SLF001 - nothing else uses them here
