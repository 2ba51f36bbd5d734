"""Rules of the ranking: always the lowest rank of now, whatever it was before, in bounded memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent_service.core.ranking import Ranking

CHANGES = st.lists(st.tuples(st.sampled_from("abcde"), st.none() | st.integers(-3, 3)), max_size=120)


@given(CHANGES)
def test_the_first_is_the_lowest_of_all_ranks_of_now(changes: list[tuple[str, int | None]]) -> None:
    """As a search through all keys finds it, after any sequence of rankings, re-rankings and removals."""
    ranking: Ranking[str] = Ranking()
    ranks: dict[str, tuple[int, int]] = {}
    for key, rank in changes:
        if rank is None:
            ranking.drop(key)
            ranks.pop(key, None)
        else:
            ranks[key] = (rank, ord(key))
            ranking.put(key, ranks[key])
        assert ranking.first() == min(ranks, key=lambda key: ranks[key], default=None)
        assert len(ranking) == len(ranks)


def test_ranks_of_the_past_are_cleared_out() -> None:
    """A key that changes its rank for ever, without ever being first, takes the room of one key."""
    ranking: Ranking[str] = Ranking()
    ranking.put("first", (0, 0))
    for change in range(10_000):
        ranking.put("busy", (1, change))
        if change % 3 == 0:
            ranking.drop("busy")
    assert int(repr(ranking).removesuffix(" entries>").rsplit(maxsplit=1)[-1]) <= 2 * 2 + 16 + 1
