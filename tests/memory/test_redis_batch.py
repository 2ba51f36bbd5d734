"""Scripts that are sent together: what each caller gets, and how many exchanges it takes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import NoScriptError, ResponseError

from agent_service.memory.redis_batch import RedisBatch
from agent_service.memory.redis_scripts import Script

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ECHO = Script("return ARGV[1]")


class _Client:
    """Answers each command with its last word, or with ``reply``, once ``may_end``."""

    def __init__(self) -> None:
        self.exchanges: list[list[tuple[Any, ...]]] = []
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.failure: BaseException | None = None
        self.reply: Callable[[Sequence[Any]], Any] = lambda command: command[-1]

    def pipeline(self, *, transaction: bool) -> _Pipeline:
        assert not transaction
        return _Pipeline(self)


class _Pipeline:
    def __init__(self, client: _Client) -> None:
        self._client = client
        self._commands: list[tuple[Any, ...]] = []

    def execute_command(self, *command: Any) -> None:
        self._commands.append(command)

    async def execute(self, *, raise_on_error: bool) -> list[Any]:
        assert not raise_on_error
        self._client.exchanges.append(self._commands)
        await self._client.may_end.wait()
        if self._client.failure is not None:
            raise self._client.failure
        return [self._client.reply(command) for command in self._commands]


@pytest.fixture
def client() -> _Client:
    """One that answers at once."""
    return _Client()


async def _ask(batch: RedisBatch, *texts: str) -> list[asyncio.Task[Any]]:
    asking = [asyncio.create_task(batch.evaluate(ECHO, (0, text))) for text in texts]
    for _ in range(3):
        await asyncio.sleep(0)
    return asking


async def test_calls_that_come_together_are_one_exchange(client: _Client) -> None:
    """Each caller gets its own reply; a call that comes later has an exchange of its own."""
    batch = RedisBatch(client)

    assert await asyncio.gather(*await _ask(batch, "a", "b", "c")) == ["a", "b", "c"]
    assert await batch.evaluate(ECHO, (0, "d")) == "d"

    await batch.done()
    assert [len(commands) for commands in client.exchanges] == [3, 1]
    assert repr(batch) == "<RedisBatch 0 waiting, 0 exchanges>"


async def test_while_many_exchanges_are_under_way_calls_gather(client: _Client) -> None:
    """A Redis that is slow gets larger batches instead of more connections, in the order of their coming."""
    batch = RedisBatch(client)
    client.may_end.clear()
    asking = [task for number in range(20) for task in await _ask(batch, str(number))]
    assert [len(commands) for commands in client.exchanges] == [1, 1]

    client.may_end.set()
    assert await asyncio.gather(*asking) == [str(number) for number in range(20)]
    assert [len(commands) for commands in client.exchanges] == [1, 1, 18]


async def test_a_batch_has_a_limit(client: _Client) -> None:
    """The first reply does not wait for hundreds of others."""
    batch = RedisBatch(client)
    await asyncio.gather(*await _ask(batch, *map(str, range(150))))

    assert [len(commands) for commands in client.exchanges] == [64, 64, 22]


async def test_one_call_that_is_refused_harms_no_other(client: _Client) -> None:
    """An error of one command is its own caller's."""
    refusal = ResponseError("WRONGTYPE")
    client.reply = lambda command: refusal if command[-1] == "b" else command[-1]

    outcomes = await asyncio.gather(*await _ask(RedisBatch(client), "a", "b", "c"), return_exceptions=True)

    assert outcomes == ["a", refusal, "c"]


async def test_an_exchange_that_fails_fails_each_of_its_calls(client: _Client) -> None:
    """Nobody waits for ever; what comes afterwards is tried anew."""
    batch = RedisBatch(client)
    client.failure = ConnectionResetError()
    outcomes = await asyncio.gather(*await _ask(batch, "a", "b"), return_exceptions=True)
    assert outcomes == [client.failure, client.failure]

    client.failure = None
    assert await batch.evaluate(ECHO, (0, "c")) == "c"


async def test_a_script_that_redis_does_not_know_is_sent_whole(client: _Client) -> None:
    """Once more, and only the calls that were refused for it."""
    unknown: set[str] = {"b"}
    client.reply = lambda command: (
        NoScriptError() if command[0] == "EVALSHA" and command[-1] in unknown else command[-1]
    )

    assert await asyncio.gather(*await _ask(RedisBatch(client), "a", "b", "c")) == ["a", "b", "c"]

    assert client.exchanges[1] == [("EVAL", ECHO.text, 0, "b")]


async def test_a_caller_who_leaves_before_the_exchange_is_not_served(client: _Client) -> None:
    """Others are; and one who leaves during it disturbs nobody."""
    batch = RedisBatch(client)
    leaving = asyncio.create_task(batch.evaluate(ECHO, (0, "left")))
    staying = asyncio.create_task(batch.evaluate(ECHO, (0, "stayed")))
    client.may_end.clear()
    await asyncio.sleep(0)
    leaving.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert repr(batch) == "<RedisBatch 0 waiting, 1 exchanges>"
    client.may_end.set()
    await batch.done()

    assert await staying == "stayed"
    assert leaving.cancelled()
    assert repr(batch) == "<RedisBatch 0 waiting, 0 exchanges>"
