"""The programs of one service."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent_service.core.errors import CircuitBreakerOpenError, NotFoundError
from agent_service.core.messages import Turn
from agent_service.programs.base import Upstream
from agent_service.programs.served import ServedPrograms
from agent_service.testing import ScriptedProgram


def program(name: str) -> ScriptedProgram:
    """A program of that name; all have one model."""
    return ScriptedProgram(spec=replace(ScriptedProgram().spec, name=name))


class Unclosable(ScriptedProgram):
    """Fails at its end."""

    async def close(self) -> None:
        """Fail."""
        raise RuntimeError("stuck")


def test_a_program_is_found_by_its_name() -> None:
    """The first is the default; another name is refused and told what there is."""
    first, second = program("a"), program("b")
    served = ServedPrograms([first, second])

    assert (served.named(None), served.named("a"), served.named("b")) == (first, first, second)
    assert [spec.name for spec in served.specs] == ["a", "b"]
    with pytest.raises(NotFoundError, match="a, b"):
        served.named("c")


def test_each_program_sees_its_own_turns() -> None:
    """Beside others a program is not shown what they said; what a client told belongs to all."""
    first, second = program("a"), program("b")
    turns = [Turn(str(at), "q", "a", 0.0, program=name) for at, name in enumerate(["a", "b", ""])]
    chosen = ServedPrograms([first, second]).turns_of(second)

    assert chosen is not None
    assert [chosen(turn) for turn in turns] == [False, True, True]
    assert ServedPrograms([first]).turns_of(first) is None


def test_a_model_that_is_shared_is_counted_once() -> None:
    """Two programs with one model have one breaker."""
    served = ServedPrograms([program("a"), program("b")])

    assert served.upstreams() == (Upstream("scripted-model"),)
    assert served.load() == ()


async def test_all_are_started_closed_and_reset() -> None:
    """One that cannot be closed keeps no other open, and is told of."""
    first, second = program("a"), Unclosable(spec=program("b").spec)
    second.refused_with = CircuitBreakerOpenError()
    served = ServedPrograms([first, second])

    await served.start()
    served.reset_upstreams()
    assert first.started
    assert second.started
    assert second.refusal() is None
    with pytest.raises(RuntimeError, match="stuck"):
        await served.close()
    assert first.closed
