"""/api/v1/programs/{name}/releases: what there is of a program; add, activate, roll back."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from starlette.responses import Response

from agent_service.api.releases.schemas import Activation, ReleaseAdd, ReleaseAdded, ReleaseList
from agent_service.api.requests import read_json, read_json_body, read_parameters, validated
from agent_service.core.caller import CALLER
from agent_service.core.errors import (
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    ReleasesUnavailableError,
)
from agent_service.releases.base import MAX_STATE_BYTES, Release, ReleaseError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel
    from starlette.requests import Request

    from agent_service.api.programs.listing import Catalogue
    from agent_service.api.query import ApiOptions
    from agent_service.releases.operator import Inventory, ReleaseOperator

_log = logging.getLogger(__name__)

_NO_KEYS = (
    "Here nobody is asked for a key, so anybody could change what answers: set API_KEYS_FILE and come with a "
    "key of the scope `admin`, or use `agent-service release`."
)
_NOT_KEPT = "This service keeps no releases; AGENT_RELEASES_PATH says where it would."


class Releases:
    """The endpoints over releases, for callers who were asked for a key.

    Args:
        catalogue: the programs.
        operator: does what is asked; None where no releases are kept.
        options: bounds of what a caller may send.
    """

    def __init__(
        self, *, catalogue: Catalogue, operator: ReleaseOperator | None, options: ApiOptions
    ) -> None:
        self._catalogue = catalogue
        self._operator = operator
        self._options = options

    def __repr__(self) -> str:
        return f"<Releases of {self._catalogue!r}>"

    async def list(self, request: Request) -> Response:
        """All of a program, and which answers."""
        program, operator = self._asked(request)
        with _reaching():
            inventory = await operator.inventory(program)
        return _json(_listed(inventory))

    async def add(self, request: Request) -> Response:
        """Keep the body, a saved state, once the program is known to take it."""
        program, operator = self._asked(request)
        parameters = read_parameters(request)
        del parameters["name"]
        asked = validated(ReleaseAdd, parameters)
        state = await read_json_body(request, max_bytes=MAX_STATE_BYTES)
        with _reaching(), _refusing():
            release = await operator.add(program, state, note=asked.note)
        _log.info("%s: release %s was added", program, release.version)
        return _json(_told(release))

    async def activate(self, request: Request) -> Response:
        """Let a version answer everybody, or a share of the conversations."""
        program, operator = self._asked(request)
        asked = validated(Activation, await read_json(request, max_bytes=self._options.max_body_bytes))
        with _reaching(), _refusing():
            inventory = await operator.activate(program, asked.version, percent=asked.percent)
        return _changed(inventory)

    async def roll_back(self, request: Request) -> Response:
        """End the canary, or go back to what was active before."""
        program, operator = self._asked(request)
        with _reaching(), _refusing():
            inventory = await operator.roll_back(program)
        return _changed(inventory)

    def _asked(self, request: Request) -> tuple[str, ReleaseOperator]:
        """Whose releases the request is about, and who sees to it."""
        if CALLER.get().key_id is None:
            raise ForbiddenError(_NO_KEYS)
        program = self._catalogue.named(request.path_params["name"]).name
        if self._operator is None:
            raise NotFoundError(_NOT_KEPT)
        return program, self._operator


@contextmanager
def _reaching() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ReleasesUnavailableError from error


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except ReleaseError as error:
        raise InvalidRequestError(f"{error}.") from error


def _changed(inventory: Inventory) -> Response:
    _log.info("%s: releases were changed to %s", inventory.program, inventory.standing)
    return _json(_listed(inventory))


def _listed(inventory: Inventory) -> ReleaseList:
    standing = inventory.standing
    return ReleaseList(
        program=inventory.program,
        active=standing.active,
        canary=standing.canary,
        percent=standing.percent,
        earlier=list(standing.earlier),
        releases=[_told(release) for release in inventory.releases],
    )


def _told(release: Release) -> ReleaseAdded:
    added_at = datetime.fromtimestamp(release.added_at_epoch_seconds, timezone.utc)
    return ReleaseAdded(version=release.version, added_at=added_at, note=release.note)


def _json(body: BaseModel) -> Response:
    return Response(body.model_dump_json(), media_type="application/json")
