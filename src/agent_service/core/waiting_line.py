"""The waiting line: whose turn it is when several principals want the same slots, and who must leave.

Fewest leases out first is max-min fairness; eviction from the longest queue is that of fair queueing
(P. McKenney, "Stochastic Fairness Queueing", INFOCOM 1990), as in Kubernetes' API Priority and Fairness.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from agent_service.core.ranking import Ranking


class Waiting(Protocol):
    """Somebody in the line."""

    @property
    def principal(self) -> str:
        """For whom they wait."""


W = TypeVar("W", bound=Waiting)


@dataclass(slots=True)
class _Party(Generic[W]):
    """One principal: the leases it has out, when it got the last, who waits for it since when.

    All times are numbers of one count, so no two are alike.
    """

    lent: int = 0
    served: int = -1
    line: OrderedDict[W, int] = field(default_factory=OrderedDict)


class WaitingLine(Generic[W]):
    """Orders those who wait. Each call is logarithmic at most; principals at rest leave nothing behind.

    Args:
        per_principal: leases that one principal may have out; above it its waiters are passed over.
    """

    def __init__(self, *, per_principal: int | None = None) -> None:
        self._per_principal = per_principal
        self._parties: dict[str, _Party[W]] = {}
        self._by_turn: Ranking[str] = Ranking()
        self._by_length: Ranking[str] = Ranking()
        self._count = itertools.count()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"<WaitingLine of {self._length}, {len(self._parties)} principals>"

    def first(self) -> W | None:
        """Whose turn it is: of the principal with the fewest leases out, the one who waits longest.

        Among principals with equally many, who was served or came longest ago. None when nobody waits who
        may have a lease.
        """
        principal = self._by_turn.first()
        return None if principal is None else next(iter(self._parties[principal].line))

    def last(self) -> W | None:
        """Who must leave a line that is too long: the newest of the principal with most waiting.

        Among principals with equally many it is the newest of all. None when nobody waits.
        """
        principal = self._by_length.first()
        return None if principal is None else next(reversed(self._parties[principal].line))

    def join(self, waiter: W) -> None:
        """Stand at the end of one's principal's line."""
        self._party(waiter.principal).line[waiter] = next(self._count)
        self._length += 1
        self._rank(waiter.principal)

    def leave(self, waiter: W) -> None:
        """Give up one's place; harmless when there is none."""
        party = self._parties.get(waiter.principal)
        if party is not None and party.line.pop(waiter, None) is not None:
            self._length -= 1
            self._rank(waiter.principal)

    def lend(self, principal: str) -> None:
        """Note that ``principal`` has one more lease out."""
        party = self._party(principal)
        party.lent += 1
        party.served = next(self._count)
        self._rank(principal)

    def give_back(self, principal: str) -> None:
        """Note that ``principal`` has one less."""
        self._parties[principal].lent -= 1
        self._rank(principal)

    def wait_in_leases(self, principal: str, slots: int) -> float:
        """About how many durations of a lease pass until the last in line of ``principal`` has its turn.

        ``principal`` must have somebody in the line, which is served by ``slots``. Each principal in the
        line goes about as often before that turn as its own does; who has more than a share out may wait
        longer. The estimate never counts more than the whole line.
        """
        party = self._parties[principal]
        place = min(self._length, len(party.line) * len(self._by_length))
        if self._per_principal is None:
            return place / slots
        above_cap = party.lent + len(party.line) - self._per_principal
        return max(place / slots, above_cap / self._per_principal)

    def _party(self, principal: str) -> _Party[W]:
        return self._parties.setdefault(principal, _Party())

    def _rank(self, principal: str) -> None:
        """Put the principal where its state says; forget it when it is at rest."""
        party = self._parties[principal]
        if not party.line:
            self._by_turn.drop(principal)
            self._by_length.drop(principal)
            if not party.lent:
                del self._parties[principal]
            return
        self._by_length.put(principal, (-len(party.line), -next(reversed(party.line.values()))))
        if self._per_principal is None or party.lent < self._per_principal:
            self._by_turn.put(principal, (party.lent, max(party.served, next(iter(party.line.values())))))
        else:
            self._by_turn.drop(principal)
