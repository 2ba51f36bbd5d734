"""What became of the calls of the last minute, in time buckets: constant memory, each call counted once.

A time window, not a count window, so that old outcomes lose their say also when traffic is thin;
buckets as in Polly and gobreaker. A call that hangs is counted as slow while it is still in flight,
since the outcome of a hang arrives only after the damage.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

_BUCKETS = 12


@dataclass(frozen=True, slots=True)
class Counts:
    """Calls in the window, and how many of them failed or were slow."""

    calls: int = 0
    failures: int = 0
    slow: int = 0


class Call:
    """One call on its way. ``counted_at_seconds`` is set when it was counted as slow while in flight."""

    __slots__ = ("begun_at_seconds", "counted_at_seconds")

    def __init__(self, begun_at_seconds: float) -> None:
        self.begun_at_seconds = begun_at_seconds
        self.counted_at_seconds: float | None = None


class _Bucket:
    __slots__ = ("calls", "failures", "period", "slow")

    def __init__(self, period: int) -> None:
        self.period = period
        self.calls = self.failures = self.slow = 0


class CallWindow:
    """Counts calls over the last ``span_seconds``, to a twelfth of it.

    Every ``now_seconds`` is of the same monotonic clock.

    Args:
        span_seconds: how long an outcome counts.
        slow_call_seconds: a call that takes longer is slow.
    """

    def __init__(self, *, span_seconds: float, slow_call_seconds: float) -> None:
        self._bucket_seconds = span_seconds / _BUCKETS
        self._slow_call_seconds = slow_call_seconds
        self._buckets = [_Bucket(-_BUCKETS) for _ in range(_BUCKETS)]
        self._in_time: OrderedDict[Call, None] = OrderedDict()
        self._none_begun_before_seconds = 0.0
        self._last_flawed_period = -_BUCKETS

    def __repr__(self) -> str:
        return f"<CallWindow {len(self._in_time)} in flight and not slow>"

    def begin(self, now_seconds: float) -> Call:
        """A call begins; ``finish`` or ``forget`` ends it."""
        if not self._in_time:
            self._none_begun_before_seconds = now_seconds
        call = Call(now_seconds)
        self._in_time[call] = None
        return call

    def finish(self, call: Call, now_seconds: float, *, failed: bool) -> bool:
        """Count how the call ended; when it was counted as slow before, its count moves to now.

        Returns whether it was in time and well.
        """
        self._in_time.pop(call, None)
        slow = now_seconds - call.begun_at_seconds > self._slow_call_seconds
        if call.counted_at_seconds is not None:
            self._add(call.counted_at_seconds, -1, failed=False, slow=True)
        self._add(now_seconds, 1, failed=failed, slow=slow)
        return not (failed or slow)

    def forget(self, call: Call) -> None:
        """The call ended and says nothing of the upstream."""
        self._in_time.pop(call, None)

    def is_flawless(self, now_seconds: float) -> bool:
        """Whether the window holds no failed and no slow call: as ``counts`` says, at a fraction of the cost.

        False may also mean that it held one whose count has moved to another time since.
        """
        if self._in_time and now_seconds - self._none_begun_before_seconds > self._slow_call_seconds:
            self._count_overdue(now_seconds)
        return self._last_flawed_period <= now_seconds // self._bucket_seconds - _BUCKETS

    def counts(self, now_seconds: float) -> Counts:
        """The window as it is now, calls that became slow in flight included."""
        self._count_overdue(now_seconds)
        oldest = int(now_seconds // self._bucket_seconds) - _BUCKETS + 1
        live = [bucket for bucket in self._buckets if bucket.period >= oldest]
        return Counts(
            calls=sum(bucket.calls for bucket in live),
            failures=sum(bucket.failures for bucket in live),
            slow=sum(bucket.slow for bucket in live),
        )

    def _count_overdue(self, now_seconds: float) -> None:
        """Calls stand in the order of their begin, so the overdue ones are in front."""
        while self._in_time and now_seconds - self._none_begun_before_seconds > self._slow_call_seconds:
            call = next(iter(self._in_time))
            self._none_begun_before_seconds = call.begun_at_seconds
            if not self._is_slow(call, now_seconds):
                return
            del self._in_time[call]
            call.counted_at_seconds = now_seconds
            self._add(now_seconds, 1, failed=False, slow=True)

    def _is_slow(self, call: Call, now_seconds: float) -> bool:
        return now_seconds - call.begun_at_seconds > self._slow_call_seconds

    def _add(self, at_seconds: float, number: int, *, failed: bool, slow: bool) -> None:
        """Add ``number`` calls to the bucket of their time, unless that has left the window."""
        period = int(at_seconds // self._bucket_seconds)
        if failed or slow:
            self._last_flawed_period = max(self._last_flawed_period, period)
        bucket = self._buckets[period % _BUCKETS]
        if bucket.period < period:
            bucket = self._buckets[period % _BUCKETS] = _Bucket(period)
        if bucket.period == period:
            bucket.calls += number
            bucket.failures += number * failed
            bucket.slow += number * slow
