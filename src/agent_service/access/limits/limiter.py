"""Whether a caller may ask one query more, and what the tokens that it used are charged to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from agent_service.access.base import ANSWER_HEADERS
from agent_service.access.limits.base import DAY_SECONDS
from agent_service.access.limits.headers import Quota, headers_of
from agent_service.access.limits.rate import parse_rates, strictest
from agent_service.core.caller import CALLER
from agent_service.core.context import REQUEST_ID
from agent_service.core.errors import RateLimitedError
from agent_service.core.observer import LimitMet, QueryFinished
from agent_service.runtime.owned_tasks import OwnedTasks

if TYPE_CHECKING:
    from agent_service.access.base import Use
    from agent_service.access.limits.base import Taken
    from agent_service.access.limits.fail_open import FailOpen
    from agent_service.access.limits.options import RateLimitOptions
    from agent_service.access.limits.rate import Rate
    from agent_service.core.caller import Caller
    from agent_service.core.clock import Clock
    from agent_service.core.observer import Event, Observer

_CALLED = {"key": "This key", "user": "This user_id"}


@dataclass(frozen=True, slots=True)
class _Holder:
    """Somebody whose queries are counted: a key or a user."""

    kind: Literal["key", "user"]
    id: str

    def name(self, what: str) -> str:
        """That of a counter of its; ids have any length and may hold anything."""
        text = f"{what}:{self.kind}:{self.id}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Limiter:
    """Counts queries when they come, and tokens when queries have ended, however they end.

    A key's own limits win over those of the options. A user is asked for before its key, so that one user
    who sends too much uses up nothing of the key that others share. A query that is refused for its tokens
    is not counted. Implements ``Limits``, and is an ``Observer`` for the tokens.

    Args:
        options: the limits of callers who have none of their own.
        rates: counts queries.
        budgets: counts tokens.
        clock: tells the day.
        observer: gets a ``LimitMet`` for each refusal.
    """

    def __init__(
        self,
        options: RateLimitOptions,
        *,
        rates: FailOpen,
        budgets: FailOpen,
        clock: Clock,
        observer: Observer,
    ) -> None:
        self._options = options
        self._rates = rates
        self._budgets = budgets
        self._clock = clock
        self._observer = observer
        self._charges = OwnedTasks()

    def __repr__(self) -> str:
        return f"<Limiter {self._rates!r} {self._charges!r}>"

    async def start(self) -> None:
        """Get ready to count. What cannot be counted is let through."""
        for counters in {self._rates, self._budgets}:
            await counters.start()

    async def close(self) -> None:
        """Finish the charges, then end."""
        await self._charges.done()
        for counters in {self._rates, self._budgets}:
            await counters.close()

    async def admit(self, caller: Caller, user_id: str, use: Use) -> None:
        """See ``Limits``. Only queries are counted."""
        if use != "query":
            return
        budget, limited = self._budget_of(caller), self._limited(caller, user_id)
        quotas: list[Quota] = []
        try:
            if budget is not None:
                await self._check_budget(_payer(caller, user_id), budget, quotas)
            for holder, rates in limited:
                await self._take(holder, rates, quotas)
        finally:
            ANSWER_HEADERS.set({**ANSWER_HEADERS.get(), **headers_of(quotas)})

    def observe(self, event: Event) -> None:
        """Charge the tokens of a query that ended to whoever asked it."""
        if not isinstance(event, QueryFinished) or not event.usage.total_tokens:
            return
        caller = CALLER.get()
        if self._budget_of(caller) is not None:
            name = _payer(caller, event.user_id).name("tokens")
            day = int(self._clock.wall() // DAY_SECONDS)
            self._charges.begin(self._budgets.spend(name, event.usage.total_tokens, day=day))

    def _budget_of(self, caller: Caller) -> int | None:
        return self._options.tokens_per_day if caller.tokens_per_day is None else caller.tokens_per_day

    def _limited(self, caller: Caller, user_id: str) -> list[tuple[_Holder, tuple[Rate, ...]]]:
        """Who must have room for one query more, in the order of asking."""
        own = self._options.rates if caller.rate_limit is None else parse_rates(caller.rate_limit)
        per_user = self._options.rates_per_user
        user = _Holder("user", user_id)
        if caller.key_id is None:
            limited = [(user, strictest(own, per_user) if per_user else own)]
        else:
            limited = [(user, per_user), (_Holder("key", caller.key_id), own)]
        return [(holder, rates) for holder, rates in limited if rates]

    async def _check_budget(self, payer: _Holder, budget: int, quotas: list[Quota]) -> None:
        day, of_day_seconds = divmod(self._clock.wall(), DAY_SECONDS)
        spent = await self._budgets.spend(payer.name("tokens"), 0, day=int(day))
        if spent is None:
            return
        left_seconds = DAY_SECONDS - of_day_seconds
        quotas.append(
            Quota("tokens-day", budget, DAY_SECONDS, max(0, budget - spent), left_seconds, "tokens")
        )
        if spent >= budget:
            detail = (
                f"{_CALLED[payer.kind]} has used up its {budget} tokens of today; the next day begins "
                "at 00:00 UTC."
            )
            raise self._refusal("tokens", detail, left_seconds)

    async def _take(self, holder: _Holder, rates: tuple[Rate, ...], quotas: list[Quota]) -> None:
        taken = await self._rates.take(holder.name("queries"), rates)
        if taken is None:
            return
        quotas += _quotas(holder, rates, taken)
        if not taken.is_within:
            counted = zip(rates, taken.counts, strict=True)
            met = [(count.wait_seconds, rate) for rate, count in counted if count.used >= rate.amount]
            wait_seconds, rate = max(met, key=lambda found: found[0])
            queries = "1 query" if rate.amount == 1 else f"{rate.amount} queries"
            detail = f"{_CALLED[holder.kind]} may send {queries} per {rate.unit}."
            raise self._refusal(holder.kind, detail, wait_seconds)

    def _refusal(self, limit: str, detail: str, wait_seconds: float) -> RateLimitedError:
        self._observer.observe(LimitMet(REQUEST_ID.get(), limit))
        return RateLimitedError(detail, retry_after_seconds=wait_seconds)


def _payer(caller: Caller, user_id: str) -> _Holder:
    """To whom tokens are charged."""
    return _Holder("user", user_id) if caller.key_id is None else _Holder("key", caller.key_id)


def _quotas(holder: _Holder, rates: tuple[Rate, ...], taken: Taken) -> list[Quota]:
    return [
        Quota(
            f"{holder.kind}-{rate.unit}",
            rate.amount,
            rate.seconds,
            max(0, rate.amount - count.used),
            count.wait_seconds,
        )
        for rate, count in zip(rates, taken.counts, strict=True)
    ]
