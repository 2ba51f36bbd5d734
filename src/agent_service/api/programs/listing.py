"""GET /api/v1/programs and /api/v1/programs/{name}: what is served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from agent_service.api.programs.schemas import ServedProgram, ServedProgramList
from agent_service.core.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from agent_service.programs.base import ProgramSpec


class Catalogue:
    """The programs by name, the default first."""

    def __init__(self, programs: Sequence[ProgramSpec]) -> None:
        self._specs = {spec.name: spec for spec in programs}
        self._default = programs[0].name if programs else ""

    def __repr__(self) -> str:
        return f"<Catalogue of {', '.join(self._specs)}>"

    def named(self, name: str) -> ProgramSpec:
        """The program of this name.

        Raises:
            NotFoundError: there is none.
        """
        spec = self._specs.get(name)
        if spec is None:
            raise NotFoundError(f"No such program is served; there is {', '.join(self._specs)}.")
        return spec

    async def list(self, request: Request) -> Response:  # noqa: ARG002 - the signature of a handler
        """All of them."""
        listed = ServedProgramList(programs=[self._described(spec) for spec in self._specs.values()])
        return Response(listed.model_dump_json(), media_type="application/json")

    async def retrieve(self, request: Request) -> Response:
        """One of them."""
        described = self._described(self.named(request.path_params["name"]))
        return Response(described.model_dump_json(), media_type="application/json")

    def _described(self, spec: ProgramSpec) -> ServedProgram:
        return ServedProgram(
            name=spec.name,
            is_default=spec.name == self._default,
            is_plain=spec.is_plain,
            model=spec.model,
            version=spec.version,
            tools=list(spec.tools),
            inputs=dict(spec.interface.input_schema),
            outputs=dict(spec.interface.output_schema),
        )
