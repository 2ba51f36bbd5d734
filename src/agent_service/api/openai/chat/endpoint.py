"""The endpoint of chat completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

from agent_service.api.openai.chat.chunks import ChatChunks, usage_of
from agent_service.api.openai.conversation import asked
from agent_service.api.openai.programs import Place
from agent_service.api.openai.schemas import ChatRequest
from agent_service.api.openai.steps import used

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from agent_service.api.openai.programs import Programs
    from agent_service.api.streams.response import EventStream
    from agent_service.core.clock import Clock
    from agent_service.core.messages import Answer


class ChatCompletions:
    """Answers chat completions, whole or in chunks."""

    def __init__(self, *, programs: Programs, clock: Clock) -> None:
        self._programs = programs
        self._clock = clock

    async def create(self, request: Request) -> Response | EventStream:
        """Answer the last message of the user; the turn is kept where a session is named."""
        sent = await self._programs.read(request, ChatRequest)
        question = asked(sent.messages, field="messages")
        is_kept = sent.session_id is not None
        place = Place(sent.session_id, is_recalled=is_kept, is_kept=is_kept)
        query = self._programs.query(request, sent, question, place=place, field="messages")
        created = int(self._clock.wall())
        if sent.stream:
            with_usage = sent.stream_options is not None and sent.stream_options.include_usage is True
            chunks = ChatChunks(query.request_id, sent.model, created=created, with_usage=with_usage)
            return await self._programs.stream(query, request, write=chunks.write)
        return JSONResponse(_completion(await self._programs.answer(query, request), sent.model, created))


def _completion(answer: Answer, model: str, created: int) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.tools_used:
        message["reasoning_content"] = "".join(f"{used(tool)}\n" for tool in answer.tools_used)
    return {
        "id": f"chatcmpl-{answer.query.request_id}",
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage_of(answer.usage.prompt_tokens, answer.usage.completion_tokens),
        "system_fingerprint": answer.program_version,
    }
