"""An answer as bytes, to be kept and given again."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace

from agent_service.core.messages import Answer, ConversationId, Query, Usage

_NO_QUERY = Query("", ConversationId(""), "")
"""What a program is asked may not be copied: its inputs can be any objects."""
_FIELDS = frozenset(field.name for field in fields(Answer))


def written_answer(answer: Answer) -> bytes:
    """``answer`` as JSON. The query is left out, but for its request's id: who reads it has the same."""
    values = asdict(replace(answer, query=_NO_QUERY, replayed=False))
    values["query"] = answer.query.request_id
    return json.dumps(values, separators=(",", ":")).encode()


def read_answer(record: bytes, query: Query) -> Answer:
    """The answer in ``record``, which was written of a query equal to ``query``.

    Fields that only a newer version knows are passed over, as replicas are updated one by one.
    """
    values = json.loads(record)
    values["query"] = replace(query, request_id=values["query"])
    values["usage"] = Usage(**values["usage"])
    for name in ("tools_used", "degraded"):
        values[name] = tuple(values[name])
    return Answer(**{name: value for name, value in values.items() if name in _FIELDS})
