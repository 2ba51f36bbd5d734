"""/api/v1/users/{user_id}/...: list, read or erase what the service remembers of a user."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from agent_service.api.requests import read_parameters, validated
from agent_service.api.schemas import (
    HistoryErase,
    HistoryErased,
    HistoryPage,
    HistoryRead,
    HistoryTurn,
    Session,
    SessionPage,
    SessionsRead,
)
from agent_service.core.messages import ConversationId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from agent_service.api.access.admission import Admission
    from agent_service.core.messages import StoredTurn
    from agent_service.memory.base import SessionInfo
    from agent_service.programs.base import ProgramSpec
    from agent_service.runtime.base import Remembering


class Conversations:
    """The endpoints over what is remembered; a failing store reaches the caller as ``memory_unavailable``."""

    def __init__(
        self, *, remembering: Remembering, admission: Admission, programs: Sequence[ProgramSpec] = ()
    ) -> None:
        self._typed = frozenset(spec.name for spec in programs if not spec.is_plain)
        self._remembering = remembering
        self._admission = admission

    async def read(self, request: Request) -> Response:
        """A page of one conversation, newest turn last."""
        asked = validated(HistoryRead, read_parameters(request))
        await self._admission.admit(asked.user_id, "conversation")
        page = await self._remembering.page(
            ConversationId(asked.user_id, asked.session_id), limit=asked.limit, before_seq=asked.before_seq
        )
        body = HistoryPage(
            user_id=asked.user_id,
            session_id=asked.session_id,
            turns=[self._turn(stored) for stored in page.turns],
            next_before_seq=page.next_before_seq,
        )
        return Response(body.model_dump_json(), media_type="application/json")

    async def erase(self, request: Request) -> Response:
        """Remove one conversation, or all of the user's when no session is named."""
        asked = validated(HistoryErase, read_parameters(request))
        await self._admission.admit(asked.user_id, "conversation")
        deleted_turns = await self._remembering.erase(asked.user_id, asked.session_id)
        body = HistoryErased(user_id=asked.user_id, session_id=asked.session_id, deleted_turns=deleted_turns)
        return Response(body.model_dump_json(), media_type="application/json")

    async def sessions(self, request: Request) -> Response:
        """A page of the user's conversations."""
        asked = validated(SessionsRead, read_parameters(request))
        await self._admission.admit(asked.user_id, "conversation")
        found = await self._remembering.sessions(asked.user_id, limit=asked.limit + 1, after=asked.after)
        shown = found[: asked.limit]
        body = SessionPage(
            user_id=asked.user_id,
            sessions=[_session(session) for session in shown],
            next_after=shown[-1].session_id if len(found) > len(shown) else None,
        )
        return Response(body.model_dump_json(), media_type="application/json")

    def _turn(self, stored: StoredTurn) -> HistoryTurn:
        turn = stored.turn
        is_typed = turn.program in self._typed
        return HistoryTurn(
            seq=stored.seq,
            question=turn.question,
            answer=turn.answer,
            at=_at(turn.at_epoch_seconds),
            turn_id=turn.turn_id,
            model=turn.model,
            program=turn.program,
            inputs=_fields_in(turn.question) if is_typed else None,
            outputs=_fields_in(turn.answer) if is_typed else None,
            forked_from=stored.forked_from,
        )


def _session(session: SessionInfo) -> Session:
    return Session(
        session_id=session.session_id,
        turns=session.turns,
        last_seq=session.last_seq,
        last_at=_at(session.last_at_epoch_seconds),
    )


def _at(epoch_seconds: float) -> datetime:
    return datetime.fromtimestamp(epoch_seconds, tz=timezone.utc)


def _fields_in(text: str) -> dict[str, Any] | None:
    """The object in a turn of a program that has no plain side; None in one that was kept otherwise."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
