"""The LM seam: every attempt asks the breaker, is counted and reported; the one retry loop is here."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

import dspy
from dspy import lm15

from agent_service.core.clock import Clock, Deadline, sleep
from agent_service.core.errors import CircuitBreakerOpenError, ServiceError, UpstreamRateLimitedError
from agent_service.core.messages import Usage
from agent_service.core.observer import LMCallFinished, LMCallStarted
from agent_service.core.run import Run, RunStoppedError, StepTimeoutError, StopReason
from agent_service.programs.context import current_run
from agent_service.programs.lm.lean_chat import PlainReply, whole
from agent_service.programs.lm.verdicts import BreakerReport, BrokenOffError, Verdict, judge
from agent_service.programs.streams.relay import relay_for

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from agent_service.core.adaptive_limit import AdaptiveLimit, LimitPermit
    from agent_service.core.breaker import Breaker, Permit
    from agent_service.core.observer import Observer
    from agent_service.core.retry import RetryPolicy
    from agent_service.programs.streams.relay import Relay

_SUCCESS = Verdict(BreakerReport.SUCCESS, "success")
_STOPPED = Verdict(BreakerReport.IGNORE, "stopped")
_REFUSED = Verdict(BreakerReport.IGNORE, "refused")
_NOTHING = Usage()
_A_CALL = Usage(lm_calls=1)


class Transport(Protocol):
    """One way to reach a model: one attempt per call, no retries, cancellable."""

    async def complete(self, request: lm15.Request) -> lm15.Response | PlainReply:
        """Send the request; raises ``dspy.lm15`` errors."""

    async def aclose(self) -> None:
        """Close its connections."""


class RefusedError(dspy.LMError):
    """The seam did not make the call: carries what the caller is to be told. DSPy passes LMErrors through."""

    def __init__(self, error: ServiceError) -> None:
        super().__init__(error.detail)
        self.error = error


class LMSeam:
    """One upstream as all programs see it: transport, breaker, limit of calls in flight, retry policy.

    Args:
        model: the model's name, as the caller reads it.
        transport: how it is reached from the service's event loop.
        breaker: the upstream's circuit breaker.
        limit: how many calls it takes at once, learned from how it answers.
        retry: the upstream's retry policy and budget.
        call_timeout_seconds: total time of one attempt; past it, the upstream has failed.
        run_timeout_seconds: deadline of a call that belongs to no query.
    """

    def __init__(
        self,
        *,
        model: str,
        transport: Transport,
        breaker: Breaker,
        limit: AdaptiveLimit,
        retry: RetryPolicy,
        call_timeout_seconds: float,
        run_timeout_seconds: float,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self.model = model
        self.breaker = breaker
        self.transport = transport
        self.limit = limit
        self.retry = retry
        self._call_timeout_seconds = call_timeout_seconds
        self._run_timeout_seconds = run_timeout_seconds
        self._clock = clock
        self._observer = observer

    def __repr__(self) -> str:
        return f"<LMSeam {self.model} {self.breaker!r} {self.limit!r}>"

    async def complete(
        self, request: lm15.Request, transport: Transport | None = None, *, run: Run | None = None
    ) -> lm15.Response | PlainReply:
        """Call the model, trying again within policy, budget and deadline.

        ``run`` is the current one, by whom knows it already.

        Raises:
            RefusedError: when the breaker is open, or the provider wants a longer pause than there is time.
            RunStoppedError: when the run is stopped, before or during the call.
            dspy.lm15.LM15Error: what the last attempt failed with.
        """
        run = run or current_run() or self._run_of_its_own()
        self.retry.first_attempt()
        attempt = 1
        failed: lm15.LM15Error | None = None
        try:
            while True:
                try:
                    return await self._attempt(run, attempt, request, transport)
                except RefusedError:
                    if failed is None:
                        raise
                    raise failed from None
                except lm15.LM15Error as error:
                    failed = error
                await self._pause_or_raise(run, attempt, failed)
                attempt += 1
        finally:
            del failed  # or error and traceback would keep each other, and the answer's body, alive

    async def aclose(self) -> None:
        """Close the transport."""
        await self.transport.aclose()

    def _run_of_its_own(self) -> Run:
        deadline = Deadline.after(self._clock, self._run_timeout_seconds)
        return Run(request_id="", deadline=deadline, clock=self._clock, observer=self._observer)

    async def _attempt(
        self, run: Run, attempt: int, request: lm15.Request, transport: Transport | None
    ) -> lm15.Response | PlainReply:
        run.check()
        place = self.limit.try_acquire()
        if place is None and transport is None:
            place = await self._place(run)
        permit = self._permit(run, attempt, place)
        started = self._clock.monotonic()
        verdict, usage, retry_after_seconds, response = _STOPPED, _A_CALL, None, None
        run.emit(LMCallStarted(run.request_id, self.model, attempt, request))
        try:
            response = await self._call(run, request, transport or self.transport)
            usage = _usage(response)
            verdict = _SUCCESS
        except lm15.LM15Error as error:
            verdict, retry_after_seconds = judge(error), error.retry_after
            raise
        except Exception:
            verdict = Verdict(BreakerReport.IGNORE, "error")
            raise
        else:
            return response
        finally:
            latency_seconds = self._clock.monotonic() - started
            _report(permit, place, verdict, latency_seconds, retry_after_seconds)
            run.count_tokens(usage)
            run.emit(self._finished(run, attempt, verdict, latency_seconds, usage, response=response))

    def _permit(self, run: Run, attempt: int, place: LimitPermit | None) -> Permit:
        """The breaker's permit and a call of the run's budget, or neither; then ``place`` is given back."""
        try:
            permit = self._ask(run, attempt)
        except RefusedError:
            if place is not None:
                place.ignore()
            raise
        try:
            run.begin_lm_call()
        except RunStoppedError:
            _report(permit, place, _STOPPED, 0.0, None)
            raise
        return permit

    async def _place(self, run: Run) -> LimitPermit:
        """Wait for a place; not when the provider asked for a pause that outlasts the run."""
        pause_seconds = self.limit.pause_remaining_seconds
        if pause_seconds >= run.deadline.remaining_seconds():
            raise RefusedError(UpstreamRateLimitedError(retry_after_seconds=pause_seconds))
        with run.interruptible():
            return await self.limit.acquire()

    def _ask(self, run: Run, attempt: int) -> Permit:
        try:
            return self.breaker.ask()
        except CircuitBreakerOpenError as error:
            run.emit(self._finished(run, attempt, _REFUSED, 0.0, _NOTHING))
            raise RefusedError(error) from None

    def _call(
        self, run: Run, request: lm15.Request, transport: Transport
    ) -> Coroutine[None, None, lm15.Response | PlainReply]:
        relay = relay_for(run, transport)
        if relay is None:
            return self._reply(run, request, transport)
        return self._relayed(run, request, relay)

    async def _relayed(self, run: Run, request: lm15.Request, relay: Relay) -> lm15.Response | PlainReply:
        try:
            return await self._reply(run, request, relay)
        except lm15.LM15Error as error:
            if not relay.has_begun:
                raise
            raise BrokenOffError("the answer broke off") from error

    async def _reply(
        self, run: Run, request: lm15.Request, transport: Transport | Relay
    ) -> lm15.Response | PlainReply:
        limit_seconds = min(self._call_timeout_seconds, run.deadline.remaining_seconds())
        try:
            with run.interruptible(limit_seconds):
                response = await transport.complete(request)
        except StepTimeoutError:
            if limit_seconds < self._call_timeout_seconds:
                raise RunStoppedError(StopReason.DEADLINE) from None
            message = f"no complete answer within {limit_seconds:g} s"
            raise lm15.TimeoutError(message) from None
        if not isinstance(response, PlainReply) and _is_empty(response):
            raise lm15.ServerError("the answer holds no completion", status=200)
        return response

    def _finished(
        self,
        run: Run,
        attempt: int,
        verdict: Verdict,
        latency_seconds: float,
        usage: Usage,
        *,
        response: lm15.Response | PlainReply | None = None,
    ) -> LMCallFinished:
        outcome, read = verdict.outcome, None if response is None else partial(whole, response)
        return LMCallFinished(run.request_id, self.model, attempt, outcome, latency_seconds, usage, read)

    async def _pause_or_raise(self, run: Run, attempt: int, error: lm15.LM15Error) -> None:
        """Wait before the next attempt, or raise ``error`` when there is to be none."""
        if not judge(error).retry:
            raise error
        pause_seconds = self.retry.pause_seconds(
            attempt,
            remaining_seconds=run.deadline.remaining_seconds(),
            retry_after_seconds=error.retry_after,
        )
        if pause_seconds is None:
            raise error
        with run.interruptible():
            await sleep(self._clock, pause_seconds)


def _report(
    permit: Permit,
    place: LimitPermit | None,
    verdict: Verdict,
    latency_seconds: float,
    retry_after_seconds: float | None,
) -> None:
    """Tell breaker and limit how an attempt ended."""
    if verdict.report is BreakerReport.SUCCESS:
        permit.success()
    elif verdict.report is BreakerReport.FAILURE:
        permit.failure()
    else:
        permit.ignore()
    if place is None:
        return
    if verdict.outcome == "success":
        place.success(latency_seconds)
    elif verdict.outcome in {"rate_limited", "timeout"}:
        place.overloaded(retry_after_seconds)
    else:
        place.ignore()


def _usage(response: lm15.Response | PlainReply) -> Usage:
    if isinstance(response, PlainReply):
        prompt_tokens, completion_tokens, *_ = response.usage
    else:
        prompt_tokens, completion_tokens = response.usage.input_tokens, response.usage.output_tokens
    return Usage(prompt_tokens or 0, completion_tokens or 0, 1)


def _is_empty(response: lm15.Response) -> bool:
    """Whether DSPy's client made a Response of a body that held none (``{}``, no choices)."""
    return (
        response.id is None
        and response.usage.output_tokens is None
        and not response.text
        and not response.tool_calls
    )
