"""What the tests of the fast path share: a run's settings, and modules that must not fall back to DSPy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dspy
import pytest

from agent_service.core.clock import SystemClock
from agent_service.programs.base import LMOptions
from agent_service.programs.fast import accelerate
from agent_service.programs.lm.upstreams import Upstreams
from agent_service.programs.threads import LoopBridge
from agent_service.testing import RecordingObserver
from tests.programs.conftest import ScriptedTransport, make_seam, scripted_lm
from tests.programs.fast.differential_case import Case, differences
from tests.programs.fast.differential_world import Record, Rooms, played

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from agent_service.programs.lm.seam import LMSeam, Transport


@pytest.fixture
def rooms() -> Iterator[Rooms]:
    """Threads for both sides of a comparison."""
    opened = Rooms()
    yield opened
    opened.close()


@pytest.fixture
def in_run() -> Iterator[None]:
    """DSPy's settings as a run has them."""
    with dspy.context(disable_history=True, trace=[], track_usage=False, warn_on_type_mismatch=False):
        yield


@pytest.fixture
def no_stock(monkeypatch: pytest.MonkeyPatch) -> None:
    """DSPy's own way of doing things fails the test."""

    def refuse(self: object, **_: object) -> None:
        raise AssertionError(f"{type(self).__name__} fell back to DSPy")

    for kind in (dspy.Predict, dspy.ChainOfThought, dspy.ReAct):
        monkeypatch.setattr(kind, "forward", refuse)
        monkeypatch.setattr(kind, "aforward", refuse)


class Sides:
    """Runs a program on the fast side, or on both to compare them."""

    def __init__(self, rooms: Rooms, mode: str) -> None:
        self.mode = mode
        self._rooms = rooms

    async def differ(self, make: Callable[[], dspy.Module], *replies: Any, **more: Any) -> dict[str, Any]:
        """In what the fast side differs from DSPy's."""
        case = _case(make, replies, more)
        return await differences(case, twin=accelerate, mode=self.mode, rooms=self._rooms)

    async def fast(self, make: Callable[[], dspy.Module], *replies: Any, **more: Any) -> Record:
        """What the fast side did."""
        return await played(_case(make, replies, more), twin=accelerate, mode=self.mode, rooms=self._rooms)


def _case(make: Callable[[], dspy.Module], replies: Sequence[Any], more: dict[str, Any]) -> Case:
    return Case("case", lambda _: make(), replies=replies, **more)


@pytest.fixture(params=["async", "sync"])
def sides(rooms: Rooms, request: pytest.FixtureRequest) -> Sides:
    """Both ways of calling a program."""
    return Sides(rooms, request.param)


def lm_at_seam(*replies: Any, **settings: Any) -> tuple[dspy.LM, ScriptedTransport]:
    """A scripted LM whose calls go through a seam of the running loop, and what it is asked."""
    transport, bridge, clock = ScriptedTransport(*replies), LoopBridge(), SystemClock()
    bridge.attach()

    def make(model: str, way: Transport) -> LMSeam:
        return make_seam(model, way, clock=clock, observer=RecordingObserver())

    upstreams = Upstreams(make_seam=make, options=LMOptions(chosen=False), bridge=bridge)
    return upstreams.take(scripted_lm(transport, **settings)), transport
