"""The programs of one service."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent_service.core.errors import CircuitBreakerOpenError, NotFoundError
from agent_service.core.messages import ConversationId, Query, Turn
from agent_service.programs.base import Program, Upstream, VersionShare
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


class AsVersions(ScriptedProgram):
    """Stands for any program, in the conversation of ``s``."""

    async def start(self) -> None:
        """To be started after the programs."""
        assert FIRST.started
        await super().start()

    def answering(self, program: Program, conversation: ConversationId) -> Program:
        """It, or the program."""
        return self if conversation.session_id == "s" else program

    def shares(self) -> list[VersionShare]:
        """Half and half."""
        return [VersionShare("a", "v1", 0.5)]


FIRST = program("a")


async def test_versions_answer_in_a_programs_place() -> None:
    """They choose by the conversation, are started when the programs are, and tell who answers."""
    versions = AsVersions()
    served = ServedPrograms([FIRST], versions=versions)
    await served.start()

    assert versions.started
    assert served.answering(Query("r", ConversationId("ada", "s"), "?")) is versions
    assert served.answering(Query("r", ConversationId("ada"), "?", program="a")) is FIRST
    assert served.named("a") is FIRST
    assert served.shares() == [VersionShare("a", "v1", 0.5)]
    with pytest.raises(NotFoundError):
        served.answering(Query("r", ConversationId("ada"), "?", program="b"))


def test_without_versions_a_program_answers_itself() -> None:
    """As the version that it was loaded with."""
    second = ScriptedProgram(spec=replace(ScriptedProgram().spec, name="b", version="v1"))
    served = ServedPrograms([program("a"), second])

    assert served.answering(Query("r", ConversationId("ada"), "?", program="b")) is second
    assert served.shares() == [VersionShare("a", "base", 1.0), VersionShare("b", "v1", 1.0)]


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
