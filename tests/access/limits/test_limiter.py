from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from agent_service.access.base import ANSWER_HEADERS
from agent_service.access.limits.base import CountersUnavailableError
from agent_service.access.limits.fail_open import FailOpen
from agent_service.access.limits.limiter import Limiter
from agent_service.access.limits.local import LocalCounters
from agent_service.access.limits.local_database import MemoryDatabase
from agent_service.access.limits.options import RateLimitOptions
from agent_service.access.limits.rate import parse_rates
from agent_service.core.caller import ANYBODY, CALLER, Caller
from agent_service.core.errors import RateLimitedError
from agent_service.core.messages import Usage
from agent_service.core.observer import LimitMet, LimitNotChecked, QueryFinished, RunStarted
from agent_service.testing import FakeClock, RecordingObserver

if TYPE_CHECKING:
    from agent_service.access.base import Use
    from agent_service.access.limits.base import Taken
    from agent_service.access.limits.rate import Rate

KEY, OTHER_KEY = Caller("k1"), Caller("k2")
NOON = 19_000 * 86_400.0 + 43_200.0


class Counters(LocalCounters):
    """Real ones in memory, that fail when the test says so."""

    fails = False
    charged = 0

    async def take(self, name: str, rates: tuple[Rate, ...]) -> Taken:
        if self.fails:
            raise CountersUnavailableError
        return await super().take(name, rates)

    async def spend(self, name: str, tokens: int, *, day: int) -> int:
        self.charged += tokens
        return await super().spend(name, tokens, day=day)


class Staged:
    """A limiter at noon, and what it told."""

    def __init__(self, rate: str, per_user: str, tokens: int | None) -> None:
        self.clock, self.observer = FakeClock(wall=NOON), RecordingObserver()
        self.counters = Counters(MemoryDatabase(), clock=self.clock)
        counters = FailOpen(self.counters, clock=self.clock, observer=self.observer)
        rates, rates_per_user = (parse_rates(text) if text else () for text in (rate, per_user))
        self.limiter = Limiter(
            RateLimitOptions(rates, rates_per_user, tokens),
            rates=counters,
            budgets=counters,
            clock=self.clock,
            observer=self.observer,
        )

    async def ask(self, caller: Caller = ANYBODY, user_id: str = "ada", use: Use = "query") -> None:
        ANSWER_HEADERS.set({})
        await self.limiter.admit(caller, user_id, use)

    async def refusal(self, caller: Caller = ANYBODY, user_id: str = "ada") -> RateLimitedError:
        with pytest.raises(RateLimitedError) as refused:
            await self.ask(caller, user_id)
        return refused.value

    async def finish(self, caller: Caller, tokens: int, *, code: str | None = None) -> None:
        """A query of ``caller`` ends."""
        token = CALLER.set(caller)
        self.limiter.observe(
            QueryFinished("r", "ada", "s", "p", "m", code, 0, (), Usage(tokens, 0, 1), 0.1, stored=True)
        )
        CALLER.reset(token)
        await self.limiter._charges.done()  # noqa: SLF001 - charges are nobody's to wait for


async def _started(rate: str = "", per_user: str = "", tokens: int | None = None) -> Staged:
    staged = Staged(rate, per_user, tokens)
    await staged.limiter.start()
    return staged


async def test_a_user_has_the_limit_where_no_key_is_asked_for() -> None:
    """Each its own; the refusal says whose limit it is, how much it is, and when to come back."""
    staged = await _started(rate="2/minute")
    await staged.ask()
    await staged.ask()

    refused = await staged.refusal()
    await staged.ask(user_id="grace")

    assert refused.detail == "This user_id may send 2 queries per minute."
    assert refused.retry_after_seconds == pytest.approx(61.0, abs=1.0)
    assert [event.limit for event in staged.observer.of(LimitMet)] == ["user"]


async def test_a_key_has_the_limit_whomever_it_asks_for() -> None:
    """And no share of another key's."""
    staged = await _started(rate="2/minute")
    await staged.ask(KEY, "ada")
    await staged.ask(KEY, "grace")

    refused = await staged.refusal(KEY, "joan")
    await staged.ask(OTHER_KEY, "ada")

    assert refused.detail == "This key may send 2 queries per minute."
    assert [event.limit for event in staged.observer.of(LimitMet)] == ["key"]


async def test_a_keys_own_limit_wins() -> None:
    """Be it smaller or larger; also where others have none."""
    staged = await _started(rate="2/minute")
    await staged.ask(Caller("small", rate_limit="1/minute"))
    await staged.refusal(Caller("small", rate_limit="1/minute"))
    for _ in range(5):
        await staged.ask(Caller("large", rate_limit="5/minute"))

    unlimited = await _started()
    await unlimited.ask(Caller("small", rate_limit="1/hour"))
    await unlimited.refusal(Caller("small", rate_limit="1/hour"))


async def test_a_user_behind_a_key_has_a_limit_of_its_own() -> None:
    """Who sends too much for one user uses up nothing of what the key may send for others."""
    staged = await _started(rate="3/minute", per_user="1/minute")
    await staged.ask(KEY, "ada")
    for _ in range(4):
        refused = await staged.refusal(KEY, "ada")
    await staged.ask(KEY, "grace")
    await staged.ask(KEY, "joan")

    assert refused.detail == "This user_id may send 1 query per minute."
    assert (await staged.refusal(KEY, "jean")).detail == "This key may send 3 queries per minute."
    assert (await staged.refusal(OTHER_KEY, "ada")).detail == refused.detail


async def test_without_keys_both_limits_are_the_users() -> None:
    """The smaller one holds, and one query is counted once."""
    staged = await _started(rate="2/minute;9/hour", per_user="3/minute")
    await staged.ask()
    await staged.ask()
    refused = await staged.refusal()
    assert refused.detail == "This user_id may send 2 queries per minute."
    assert ANSWER_HEADERS.get()["RateLimit-Policy"] == '"user-minute";q=2;w=60, "user-hour";q=9;w=3600'


async def test_only_queries_are_counted() -> None:
    """Whoever reads its history may do so at any time."""
    staged = await _started(rate="1/minute", tokens=1)
    for _ in range(5):
        await staged.ask(use="conversation")
    assert ANSWER_HEADERS.get() == {}
    await staged.ask()


async def test_answers_and_refusals_tell_how_much_is_left() -> None:
    """And keep what others have to tell."""
    staged = await _started(rate="2/minute")
    ANSWER_HEADERS.set({"X-Other": "1"})
    await staged.limiter.admit(KEY, "ada", "query")
    assert ANSWER_HEADERS.get()["X-Other"] == "1"
    assert ANSWER_HEADERS.get()["RateLimit"].startswith('"key-minute";r=1;t=6')
    await staged.ask(KEY)
    refused = await staged.refusal(KEY)
    seconds = ANSWER_HEADERS.get()["RateLimit"].partition("t=")[2]
    assert ANSWER_HEADERS.get()["RateLimit"].startswith('"key-minute";r=0;')
    assert float(seconds) == pytest.approx(refused.retry_after_seconds, abs=1.0)


async def test_of_two_windows_that_are_full_the_longer_wait_is_told() -> None:
    """Whoever obeys it is let through."""
    staged = await _started(rate="1/second;1/minute")
    await staged.ask()
    refused = await staged.refusal()
    assert refused.retry_after_seconds == pytest.approx(61, abs=1)
    staged.clock.advance(refused.retry_after_seconds or 0)
    await staged.ask()


async def test_tokens_are_charged_to_the_key_that_used_them() -> None:
    """Those of failed queries and of callers who left too; then it is refused until the next day."""
    staged = await _started(tokens=100)
    await staged.ask(KEY)
    await staged.finish(KEY, 60)
    await staged.ask(KEY)
    assert ANSWER_HEADERS.get()["RateLimit"] == '"tokens-day";r=40;t=43200'
    await staged.finish(KEY, 50, code="cancelled")

    refused = await staged.refusal(KEY)
    assert refused.detail == (
        "This key has used up its 100 tokens of today; the next day begins at 00:00 UTC."
    )
    assert refused.retry_after_seconds == 43_200
    assert [event.limit for event in staged.observer.of(LimitMet)] == ["tokens"]
    await staged.ask(OTHER_KEY)

    staged.clock.advance(43_200)
    await staged.ask(KEY)


async def test_a_query_without_tokens_left_is_not_counted() -> None:
    """Nor is it told what is left of queries."""
    staged = await _started(rate="1/minute", tokens=10)
    await staged.finish(KEY, 10)
    await staged.refusal(KEY)
    assert "requests" not in str(ANSWER_HEADERS.get())
    staged.clock.advance(43_200)
    await staged.ask(KEY)


async def test_a_keys_own_budget_wins_and_a_user_has_one_without_keys() -> None:
    """As with the rates."""
    staged = await _started(tokens=100)
    rich = Caller("rich", tokens_per_day=1000)
    await staged.finish(rich, 500)
    await staged.ask(rich)
    await staged.finish(ANYBODY, 100)
    assert (await staged.refusal()).detail.startswith("This user_id has used up its 100 tokens")
    await staged.ask(user_id="grace")


async def test_nothing_is_charged_where_there_is_no_budget() -> None:
    """Nor for other events, nor for a query that called no model."""
    staged = await _started(tokens=100)
    staged.limiter.observe(RunStarted("r", "p"))
    await staged.finish(KEY, 0)
    assert "0 under way" in repr(staged.limiter)
    without = await _started(rate="1/minute")
    without.limiter.observe(
        QueryFinished("r", "ada", "s", "p", "m", None, 0, (), Usage(9, 9, 1), 0.1, stored=True)
    )
    assert "0 under way" in repr(without.limiter)


async def test_charges_under_way_are_finished_before_the_end() -> None:
    """A service that stops forgets no query's tokens."""
    staged = await _started(tokens=100)
    staged.limiter.observe(
        QueryFinished("r", "ada", "s", "p", "m", None, 0, (), Usage(9, 9, 1), 0.1, stored=True)
    )
    await staged.limiter.close()
    assert staged.counters.charged == 18


async def test_counters_that_fail_let_everybody_through() -> None:
    """The answer says nothing of limits then, and it is told that nothing was counted."""
    staged = await _started(rate="1/minute")
    staged.counters.fails = True
    for _ in range(3):
        await staged.ask()
    assert ANSWER_HEADERS.get() == {}
    assert len(staged.observer.of(LimitNotChecked)) == 3


async def test_ids_of_any_kind_can_be_counted() -> None:
    """Long ones, and those that UTF-8 cannot hold; a key and a user of one name are two."""
    staged = await _started(rate="1/minute")
    await staged.ask(user_id="\ud800" * 1000)
    await staged.refusal(user_id="\ud800" * 1000)
    await staged.ask(user_id="k1")
    await staged.ask(KEY)
