"""What a user would write without this service: the same program, stock DSPy, under FastAPI and uvicorn.

    python -m bench.goals.stage.baseline acall|tutorial LM_URL

``acall`` awaits the program's own async side. ``tutorial`` is the style of DSPy's tutorial on deployment
(dspy.ai/tutorials/deployment): ``dspy.asyncify`` with its default of eight threads. DSPy's cache is off on
both, as it is in the service, and nothing is logged.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Any

import dspy
import uvicorn
import uvloop
from fastapi import FastAPI
from pydantic import BaseModel

from agent_service.programs.builtin_tools import BUILTIN_TOOLS
from agent_service.programs.default_agent import default_agent
from bench.goals.stage.lm_stub import MODEL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_BACKLOG = 4096


class Question(BaseModel):
    """The body of a request."""

    question: str


def stock_agent() -> dspy.Module:
    """The service's own agent, made of DSPy's classes only."""
    signature = default_agent().signature
    return dspy.ReAct(signature, tools=list(BUILTIN_TOOLS))


def create_app(style: str, lm_url: str) -> FastAPI:
    """The app in one of the two styles."""
    dspy.configure(lm=dspy.LM(f"openai/{MODEL}", api_base=f"{lm_url}/v1", api_key="sk-any", cache=False))
    agent = stock_agent()
    predict: Callable[..., Awaitable[Any]] = agent.acall if style == "acall" else dspy.asyncify(agent)
    app = FastAPI()

    @app.post("/api/v1/query")
    async def query(body: Question) -> dict[str, Any]:
        prediction = await predict(conversation="(nothing yet)", question=body.question)
        return {"answer": prediction.answer}

    @app.get("/api/v1/live")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    return app


async def _serve(style: str, lm_url: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
    config = uvicorn.Config(create_app(style, lm_url), access_log=False, log_level="error", backlog=_BACKLOG)
    sys.stdout.write(f"listening on http://127.0.0.1:{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    uvloop.run(_serve(*sys.argv[1:3]))
