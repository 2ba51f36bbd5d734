"""Rules of the waiting line: whose turn it is, who must leave, and what is remembered of whom."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agent_service.core.waiting_line import WaitingLine

CAP = 2
_numbers = itertools.count()


@dataclass(frozen=True)
class Guest:
    """Somebody who waits."""

    principal: str
    number: int = field(default_factory=lambda: next(_numbers))


def a_line(*principals: str, per_principal: int | None = None) -> tuple[WaitingLine[Guest], list[Guest]]:
    """A line with one guest after the other."""
    line: WaitingLine[Guest] = WaitingLine(per_principal=per_principal)
    guests = [Guest(principal) for principal in principals]
    for guest in guests:
        line.join(guest)
    return line, guests


def served(line: WaitingLine[Guest]) -> str:
    """The principals in the order of their turns, when no lease comes back."""
    order = []
    while (guest := line.first()) is not None:
        line.leave(guest)
        line.lend(guest.principal)
        order.append(guest.principal)
    return "".join(order)


def evicted(line: WaitingLine[Guest]) -> list[Guest]:
    """All guests in the order in which a line that is too long gives them up."""
    order = []
    while (guest := line.last()) is not None:
        line.leave(guest)
        order.append(guest)
    return order


def test_principals_take_turns() -> None:
    """Fewest leases out first: nobody's many come before another's few."""
    assert served(a_line(*"aaaabbc")[0]) == "abcabaa"


def test_leases_that_are_out_count() -> None:
    """Who has two out comes after who has none, and again when they are back."""
    line, _ = a_line(*"aabb")
    line.lend("a")
    line.lend("a")
    first = line.first()
    assert first is not None
    assert first.principal == "b"
    line.give_back("a")
    line.give_back("a")
    assert served(line) == "baba"


def test_among_equals_who_was_served_longest_ago_goes_first() -> None:
    """With one slot nobody has a lease out when it is free; those who wait for long still take turns."""
    line, _ = a_line(*"aaabc")
    order = ""
    while (guest := line.first()) is not None:
        line.leave(guest)
        line.lend(guest.principal)
        line.give_back(guest.principal)
        order += guest.principal
    assert order == "abcaa"


def test_within_a_principal_it_is_first_come_first_served() -> None:
    """Also when one in the middle has left."""
    line, guests = a_line(*"aaaa")
    line.leave(guests[1])
    line.leave(guests[1])
    assert len(line) == 3
    order = []
    while (guest := line.first()) is not None:
        line.leave(guest)
        order.append(guest)
    assert order == [guests[0], guests[2], guests[3]]


def test_the_longest_queue_gives_up_its_newest() -> None:
    """One after the other, until all are equally short; then the newest of all goes."""
    line, (a1, a2, a3, b1, c1, c2) = a_line(*"aaabcc")
    assert evicted(line) == [a3, c2, a2, c1, b1, a1]


def test_a_newcomer_of_one_of_the_longest_is_the_one_to_leave() -> None:
    """Nobody is pushed out for somebody who has as much already."""
    line, guests = a_line(*"aabb")
    assert line.last() == guests[-1]


def test_above_its_cap_a_principal_is_passed_over() -> None:
    """Others go first; alone it waits until a lease of its own is back."""
    line, _ = a_line(*"aaaab", per_principal=2)
    assert served(line) == "aba"
    assert len(line) == 2
    line.give_back("b")
    assert line.first() is None
    line.give_back("a")
    assert served(line) == "a"


@pytest.mark.parametrize(
    ("line", "leases"),
    [
        ("a", 1 / 4),
        ("aaaa", 4 / 4),
        ("bbbbbbbba", 2 / 4),
        ("bbbbbbbbcca", 3 / 4),
        ("bcda", 4 / 4),
    ],
)
def test_the_expected_wait_is_that_of_fair_turns(line: str, leases: float) -> None:
    """A long queue of somebody else is passed, one's own is not; in lease durations on four slots."""
    assert a_line(*line)[0].wait_in_leases("a", 4) == leases


def test_above_the_cap_only_own_leases_make_room() -> None:
    """The third in line on a cap of two waits one lease and a half, however many slots there are."""
    line, _ = a_line(*"aaa", per_principal=2)
    line.lend("a")
    line.lend("a")
    assert line.wait_in_leases("a", 1000) == 1.5
    line.give_back("a")
    line.give_back("a")
    assert line.wait_in_leases("a", 1000) == 0.5


def test_principals_at_rest_leave_nothing_behind() -> None:
    """A year of users costs the memory of those who are here."""
    line, guests = a_line(*(str(number) for number in range(1000)))
    for guest in guests:
        line.leave(guest)
        line.lend(guest.principal)
    assert repr(line) == "<WaitingLine of 0, 1000 principals>"
    for guest in guests:
        line.give_back(guest.principal)
    assert repr(line) == "<WaitingLine of 0, 0 principals>"


class WaitingLineMachine(RuleBasedStateMachine):
    """The line beside one that is searched from end to end for every answer."""

    def __init__(self) -> None:
        super().__init__()
        self.line: WaitingLine[Guest] = WaitingLine(per_principal=CAP)
        self.waiting: list[Guest] = []
        self.lent: Counter[str] = Counter()
        self.served: dict[str, int] = {}

    @rule(principal=st.sampled_from("abcd"))
    def join(self, principal: str) -> None:
        """Somebody comes."""
        guest = Guest(principal)
        self.waiting.append(guest)
        self.line.join(guest)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """Anybody goes."""
        guest = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(guest)
        self.line.leave(guest)

    @rule()
    def serve(self) -> None:
        """Whose turn it is gets a lease."""
        guest = self.line.first()
        if guest is not None:
            self.waiting.remove(guest)
            self.line.leave(guest)
            self.line.lend(guest.principal)
            self.lent[guest.principal] += 1
            self.served[guest.principal] = next(_numbers)

    @precondition(lambda self: self.lent.total())
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        """Any lease comes back."""
        principal = data.draw(st.sampled_from(sorted(self.lent.elements())))
        self.lent[principal] -= 1
        self.line.give_back(principal)

    @invariant()
    def the_answers_are_those_of_a_search(self) -> None:
        """First and last, by their definitions."""
        present = {guest.principal for guest in self.waiting} | set(self.lent.elements())
        self.served = {principal: at for principal, at in self.served.items() if principal in present}
        heads = {guest.principal: guest for guest in reversed(self.waiting)}
        may_go = [head for principal, head in heads.items() if self.lent[principal] < CAP]
        first = min(may_go, key=self._turn, default=None)
        lengths = Counter(guest.principal for guest in self.waiting)
        last = max(self.waiting, key=lambda guest: (lengths[guest.principal], guest.number), default=None)
        assert (self.line.first(), self.line.last(), len(self.line)) == (first, last, len(self.waiting))

    def _turn(self, head: Guest) -> tuple[int, int]:
        return self.lent[head.principal], max(self.served.get(head.principal, -1), head.number)

    @invariant()
    def nothing_is_remembered_of_who_is_gone(self) -> None:
        """Memory is that of principals who wait or have leases out."""
        present = {guest.principal for guest in self.waiting} | set(self.lent.elements())
        assert repr(self.line) == f"<WaitingLine of {len(self.waiting)}, {len(present)} principals>"


TestWaitingLineMachine = WaitingLineMachine.TestCase
TestWaitingLineMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
