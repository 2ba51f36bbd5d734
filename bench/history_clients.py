"""The clients of the history checker: they ask, ask again under a key, hang up and read."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any

import aiohttp

from bench.history_events import Conversation, Operation, Reading, Turn
from bench.history_reading import newest_turns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.history_events import History
    from bench.history_stage import Service

_READ_SHARE = 0.05
_LEAVE_SHARE = 0.05
_REPLAY_SHARE = 0.2
_LONGEST_STAY_SECONDS = 0.05
_PATIENCE_SECONDS = 10.0
_ATTEMPTS = 7
_PAUSE_SECONDS = 0.25
_OK = 200


class Client:
    """One thing after the other, until told to stop; what it does is decided by its name and the seed.

    Args:
        name: no other client's.
        seed: of what it does.
        conversations: what it takes part in.
        services: it asks any of them.
        history: gets everything that is done.
        keyed_share: of its questions, which have an Idempotency-Key.
    """

    def __init__(
        self,
        name: str,
        *,
        seed: int,
        conversations: Sequence[Conversation],
        services: Sequence[Service],
        history: History,
        keyed_share: float,
    ) -> None:
        self._name = name
        self._chance = random.Random(f"{seed}/{name}")
        self._conversations = conversations
        self._services = services
        self._history = history
        self._keyed_share = keyed_share
        self._asked = 0
        self._unsettled: deque[tuple[float, int, Operation]] = deque()

    def __repr__(self) -> str:
        return f"<Client {self._name}, {self._asked} asked>"

    async def run(self, over: asyncio.Event) -> None:
        """Go on until it is over; what is under way is brought to its end."""
        async with aiohttp.ClientSession() as session:
            while not over.is_set():
                await self._settle(session)
                conversation = self._chance.choice(self._conversations)
                if self._chance.random() < _READ_SHARE:
                    await self._read(session, conversation)
                else:
                    await self._ask(session, conversation)

    async def _ask(self, session: aiohttp.ClientSession, conversation: Conversation) -> None:
        self._asked += 1
        keyed = self._chance.random() < self._keyed_share
        operation = Operation(
            conversation,
            f"{self._name} asks {self._asked}",
            time.monotonic(),
            key=str(uuid.UUID(int=self._chance.getrandbits(128))) if keyed else None,
        )
        self._history.operations.append(operation)
        leaves = self._chance.random() < _LEAVE_SHARE
        stay_seconds = self._chance.uniform(0, _LONGEST_STAY_SECONDS) if leaves else _PATIENCE_SECONDS
        answered = await self._send(session, operation, stay_seconds)
        if keyed and (not answered or self._chance.random() < _REPLAY_SHARE):
            self._unsettled.append((time.monotonic() + _PAUSE_SECONDS, 1, operation))

    async def _settle(self, session: aiohttp.ClientSession) -> None:
        """Send again under its key what has waited longest, if it is time; each time later than the last."""
        if not self._unsettled or self._unsettled[0][0] > time.monotonic():
            return
        _, attempt, operation = self._unsettled.popleft()
        self._history.outcomes["sent again"] += 1
        answered = await self._send(session, operation, _PATIENCE_SECONDS)
        if not answered and attempt < _ATTEMPTS:
            due_seconds = time.monotonic() + _PAUSE_SECONDS * 2**attempt
            self._unsettled.append((due_seconds, attempt + 1, operation))

    async def _send(self, session: aiohttp.ClientSession, operation: Operation, stay_seconds: float) -> bool:
        """Whether an answer was read whole."""
        service = self._chance.choice(self._services)
        life = service.not_stored_seconds
        try:
            status, body = await self._post(session, service, operation, stay_seconds)
        except asyncio.TimeoutError:
            self._history.outcomes["the client left"] += 1
            return False
        except (aiohttp.ClientError, OSError):
            self._history.outcomes["connection failed"] += 1
            await asyncio.sleep(_PAUSE_SECONDS)
            return False
        if status != _OK:
            self._history.outcomes[f"{status} {body['error']}"] += 1
            await asyncio.sleep(_PAUSE_SECONDS)
            return False
        operation.answered(body, time.monotonic())
        self._history.outcomes["stored" if body["stored"] else "not stored, and said so"] += 1
        if not body["stored"]:
            life.append(time.monotonic())
        return True

    async def _post(
        self,
        session: aiohttp.ClientSession,
        service: Service,
        operation: Operation,
        stay_seconds: float,
    ) -> tuple[int, dict[str, Any]]:
        user_id, session_id = operation.conversation
        async with session.post(
            f"{service.url}/api/v1/query",
            json={"user_id": user_id, "session_id": session_id, "question": operation.question},
            headers={} if operation.key is None else {"Idempotency-Key": operation.key},
            timeout=aiohttp.ClientTimeout(total=stay_seconds),
        ) as response:
            return response.status, await response.json()

    async def _read(self, session: aiohttp.ClientSession, conversation: Conversation) -> None:
        service = self._chance.choice(self._services)
        began_seconds = time.monotonic()
        try:
            turns: tuple[Turn, ...]
            turns, _ = await newest_turns(session, service.url, conversation)
        except (asyncio.TimeoutError, aiohttp.ClientError, OSError):
            self._history.outcomes["reading failed"] += 1
            await asyncio.sleep(_PAUSE_SECONDS)
            return
        self._history.readings.append(Reading(conversation, began_seconds, time.monotonic(), turns))
