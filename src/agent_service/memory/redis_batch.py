"""Scripts of concurrent queries, sent together: most of what a call costs is its own exchange."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import NoScriptError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent_service.memory.redis_scripts import Script

    Arguments = Sequence[bytes | str | float]

_EXCHANGES = 2
"""Under way at once, so that one that hangs does not hold up all; while they are, the next batch grows."""

_BATCH = 64
"""Calls in one exchange, so that the first reply does not wait for many."""


class _Call(NamedTuple):
    script: Script
    arguments: Arguments
    outcome: asyncio.Future[Any]


class RedisBatch:
    """Runs scripts on one client, those that come at the same time in one exchange. For one event loop.

    Args:
        client: of one server; a cluster has no common exchange.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._waiting: list[_Call] = []
        self._planned = False
        self._exchanges: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<RedisBatch {len(self._waiting)} waiting, {len(self._exchanges)} exchanges>"

    async def evaluate(self, script: Script, arguments: Arguments) -> Any:
        """What ``script`` returns. A call whose caller is cancelled may be made all the same.

        Raises:
            RedisError: Redis refused the call, or the exchange failed.
            OSError: the exchange failed.
        """
        loop = asyncio.get_running_loop()
        call = _Call(script, arguments, loop.create_future())
        self._waiting.append(call)
        if not self._planned:
            self._planned = True
            loop.call_soon(self._send)
        return await call.outcome

    async def done(self) -> None:
        """Return when no exchange is under way."""
        while self._exchanges:
            await asyncio.wait(set(self._exchanges))

    def _send(self) -> None:
        """Begin exchanges for those who wait, as far as there may be more of them."""
        self._planned = False
        while self._waiting and len(self._exchanges) < _EXCHANGES:
            calls, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
            wanted = [call for call in calls if not call.outcome.done()]
            exchange = asyncio.get_running_loop().create_task(self._exchange(wanted))
            self._exchanges.add(exchange)
            exchange.add_done_callback(self._finish)

    def _finish(self, exchange: asyncio.Task[None]) -> None:
        self._exchanges.discard(exchange)
        self._send()

    async def _exchange(self, calls: Sequence[_Call]) -> None:
        try:
            replies = await evaluate_each(self._client, [(call.script, call.arguments) for call in calls])
        except BaseException as error:
            for call in calls:
                _settle(call.outcome, error if isinstance(error, Exception) else ConnectionError("cut off"))
            if not isinstance(error, Exception):
                raise
            return
        for call, reply in zip(calls, replies, strict=True):
            _settle(call.outcome, reply)


async def evaluate_each(
    client: Any, calls: Sequence[tuple[Script, Arguments]], *after: Sequence[str | int]
) -> list[Any]:
    """The reply or error of each call, then of the commands ``after`` them, in one exchange.

    There is no transaction. Scripts that Redis does not know are sent once more, whole.
    """
    commands = [("EVALSHA", script.sha, *arguments) for script, arguments in calls]
    results = await _send_all(client, [*commands, *after])
    unknown = [index for index, result in enumerate(results) if isinstance(result, NoScriptError)]
    if unknown:
        again = [("EVAL", calls[index][0].text, *calls[index][1]) for index in unknown]
        repeated = await _send_all(client, [*again, *after])
        for index, result in zip([*unknown, *range(len(calls), len(results))], repeated, strict=True):
            results[index] = result
    return results


async def _send_all(client: Any, commands: Sequence[Sequence[bytes | str | float]]) -> list[Any]:
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    results: list[Any] = await pipeline.execute(raise_on_error=False)
    return results


def _settle(outcome: asyncio.Future[Any], reply: Any) -> None:
    if outcome.done():  # its caller was cancelled
        return
    if isinstance(reply, Exception):
        outcome.set_exception(reply)
    else:
        outcome.set_result(reply)
