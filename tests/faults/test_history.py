"""Two services on one store under a nemesis: no promise about histories is broken (N1 to N7, row P2)."""

from __future__ import annotations

import pytest

from bench.history_run import Plan, carry_out


@pytest.mark.parametrize("store", ["sqlite", "redis"])
async def test_no_promise_about_histories_is_broken_under_kills(store: str) -> None:
    """Killed, frozen and cut off, the services lose, double, tear and mix nothing that was acknowledged."""
    plan = Plan(store, turns=200, kills=3, fsync="always", max_seconds=60)
    result = await carry_out(plan)
    assert result.violations == []
    assert result.history.acked >= plan.turns
    assert result.kills >= plan.kills
    assert all(history.keys() == result.history.final[0].keys() for history in result.history.final)
