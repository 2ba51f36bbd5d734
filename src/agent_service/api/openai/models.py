"""GET /v1/models and /v1/models/{model}: the programs that are served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from agent_service.api.openai.answers import Model, ModelList

if TYPE_CHECKING:
    from starlette.requests import Request

    from agent_service.api.openai.programs import Programs


class Models:
    """Lists the programs as models."""

    def __init__(self, *, programs: Programs) -> None:
        self._programs = programs

    async def list(self, request: Request) -> Response:  # noqa: ARG002 - the signature of a handler
        """All of them."""
        listed = ModelList(data=[Model(id=name) for name in self._programs.names])
        return Response(listed.model_dump_json(), media_type="application/json")

    async def retrieve(self, request: Request) -> Response:
        """One of them.

        Raises:
            NotFoundError: there is none of this name.
        """
        name = request.path_params["model"]
        self._programs.check(name)
        return Response(Model(id=name).model_dump_json(), media_type="application/json")
