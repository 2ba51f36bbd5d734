"""What a query becomes when the store or the program fails: one typed error, told once, nothing internal."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from agent_service.core.errors import (
    BudgetExhaustedError,
    CircuitBreakerOpenError,
    InternalError,
    MemoryUnavailableError,
    ServiceError,
    UpstreamError,
)
from agent_service.core.run import StopReason
from agent_service.memory.base import unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_service.core.run import Run
    from tests.runtime.conftest import Service

SECRET = "sk-secret in /srv/app"


class Panic(BaseException):
    """What an extension written in Rust raises when it panics; not an ``Exception``."""


def raising(error: BaseException) -> Callable[..., Awaitable[str]]:
    """Something that fails."""

    async def fail(*_: object) -> str:
        raise error

    return fail


async def no_memory(user: str) -> None:
    """The store is down, for a reason."""
    raise unavailable(cause=TimeoutError(SECRET))


async def test_without_its_conversation_a_query_is_refused(service: Service) -> None:
    """The program is not called, so no money is spent on an answer without its context."""
    service.store.before_read = no_memory

    with pytest.raises(MemoryUnavailableError) as refused:
        await service.begin()

    assert refused.value.retry_after_seconds == 1.0
    assert service.journal == ["read", "read"]  # with the turn, and once more without it
    assert [(end.code, end.cause) for end in service.finished] == [("memory_unavailable", "TimeoutError")]
    await service.assert_at_rest()


async def test_degraded_a_query_is_answered_without_its_conversation(
    open_service: Callable[..., Awaitable[Service]],
) -> None:
    """The answer says so, and is not stored as if it had followed from what was said before."""
    service = await open_service(degrade_without_memory=True)
    await service.begin("before")
    service.store.before_read = no_memory

    answer = await service.begin("after")

    assert (answer.text, answer.degraded, answer.stored) == ("You said: after", ("memory",), False)
    assert service.program.calls[-1] == ({"question": "after"}, ())
    assert service.journal == ["read", "run", "commit", "read", "read", "run"]
    assert service.finished[-1].stored is False
    await service.assert_at_rest()


async def test_an_answer_that_cannot_be_stored_is_given_and_says_so(service: Service) -> None:
    """The answer was paid for; that it is not kept is its ``stored``."""
    service.store.before_commit = no_memory

    answer = await service.begin()

    assert (answer.text, answer.stored, answer.degraded) == ("You said: Hi?", False, ())
    assert [(end.code, end.stored) for end in service.finished] == [(None, False)]
    await service.assert_at_rest()


async def test_an_answer_waits_for_a_slow_commit(service: Service) -> None:
    """Until the turn is durable the caller is not told so; the program's deadline does not end the wait."""
    stored = asyncio.Event()

    async def slow(user: str) -> None:
        await stored.wait()

    service.store.before_commit = slow
    asking = await service.begun()
    service.clock.advance(29.5)
    await service.settle()
    assert not asking.done()
    stored.set()

    assert (await asking).stored
    await service.assert_at_rest()


@pytest.mark.parametrize("timeout_seconds", [None, 2.0])
async def test_an_answer_does_not_wait_for_a_commit_past_the_query_s_limit(
    service: Service, timeout_seconds: float | None
) -> None:
    """The caller gets the answer in time, as not stored; the commit goes on and holds its slot."""
    stored = asyncio.Event()

    async def hanging(user: str) -> None:
        await stored.wait()

    service.store.before_commit = hanging
    asking = await service.begun(timeout_seconds=timeout_seconds)
    service.clock.advance(timeout_seconds or 30.0)
    await service.settle()

    assert asking.done()
    answer = await asking
    assert (answer.text, answer.stored) == ("You said: Hi?", False)
    assert (service.pool.stats.in_use, service.runner.abandoned) == (1, 1)
    storing = asyncio.create_task(service.runner.stored())
    await service.settle()
    assert not storing.done()
    stored.set()
    await storing
    assert await service.kept() == ["Hi?"]
    await service.assert_at_rest()


async def test_a_commit_that_fails_when_nobody_waits_any_more_is_no_loose_end(service: Service) -> None:
    """Its slot comes back like any other's."""
    failing = asyncio.Event()

    async def late_failure(user: str) -> None:
        await failing.wait()
        raise unavailable()

    service.store.before_commit = late_failure
    asking = await service.begun()
    service.clock.advance(30.0)
    assert not (await asking).stored
    failing.set()
    await service.assert_at_rest()


@pytest.mark.parametrize("error", [UpstreamError(), CircuitBreakerOpenError(retry_after_seconds=3.0)])
async def test_a_typed_error_of_the_program_is_the_caller_s(service: Service, error: ServiceError) -> None:
    """What a program translated arrives as it is, and with its cause in the record."""
    error.__cause__ = ConnectionResetError(SECRET)
    service.script = raising(error)

    with pytest.raises(type(error)) as raised:
        await service.begin()

    assert raised.value is error
    assert [(end.code, end.cause) for end in service.finished] == [(error.code, "ConnectionResetError")]
    assert service.journal == ["read", "run"]
    await service.assert_at_rest()


async def test_a_stop_of_the_program_s_own_is_told_by_its_reason(service: Service) -> None:
    """A program that ran out of its budget ends with that error."""

    async def spending(run: Run) -> str:
        run.stop(StopReason.BUDGET)
        run.check()
        raise AssertionError("a stopped run goes no further")

    service.script = spending
    with pytest.raises(BudgetExhaustedError):
        await service.begin()
    assert [end.code for end in service.finished] == ["budget_exhausted"]
    await service.assert_at_rest()


@pytest.mark.parametrize("error", [ValueError(SECRET), asyncio.CancelledError(SECRET), Panic(SECRET)])
async def test_whatever_else_a_program_raises_is_an_internal_error(
    service: Service, error: BaseException
) -> None:
    """A bug, a cancellation that nobody asked for, a panic: the caller sees nothing of it."""
    service.script = raising(error)

    with pytest.raises(InternalError) as raised:
        await service.begin()

    assert SECRET not in str(raised.value)
    (end,) = service.finished
    assert (end.code, end.stored) == ("internal_error", False)
    assert end.cause.startswith(type(error).__name__)
    assert SECRET not in end.cause
    await service.assert_at_rest()


@pytest.mark.parametrize("place", ["before_read", "before_commit"])
async def test_an_error_that_a_store_must_not_raise_is_an_internal_error(
    service: Service, place: str
) -> None:
    """A store that breaks its contract is a bug of ours, told as one."""
    setattr(service.store, place, raising(KeyError(SECRET)))
    with pytest.raises(InternalError):
        await service.begin()
    assert [end.code for end in service.finished] == ["internal_error"]
    assert SECRET not in service.finished[0].cause
    await service.assert_at_rest()


async def test_an_answer_that_is_not_there_is_an_internal_error(service: Service) -> None:
    """A program whose reply lacks the output that it promised is a bug; nothing is stored."""

    class Unprintable:
        def __str__(self) -> str:
            raise ValueError(SECRET)

    async def saying(run: Run) -> str:
        return Unprintable()  # type: ignore[return-value] # what a program of somebody else's may do

    service.script = saying
    with pytest.raises(InternalError):
        await service.begin()
    assert await service.kept() == []
    await service.assert_at_rest()


async def test_a_program_that_cannot_say_whether_it_refuses_is_an_internal_error(service: Service) -> None:
    """Even a failure before admission ends the query once and typed."""

    def broken() -> ServiceError | None:
        raise ValueError(SECRET)

    service.program.refusal = broken  # type: ignore[method-assign] # the double has no script for this
    with pytest.raises(InternalError):
        await service.begin()
    assert [end.code for end in service.finished] == ["internal_error"]
    await service.assert_at_rest()
