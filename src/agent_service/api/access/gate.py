"""Which routes ask for a key, and who is at the door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_service.core.caller import CALLER
from agent_service.core.errors import ForbiddenError, UnauthorizedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from agent_service.access.base import Identifying
    from agent_service.core.caller import Scope

    Handler = Callable[[Request], Awaitable[ASGIApp]]

_OPEN = frozenset(
    {
        "/",
        "/docs",
        "/docs/assets/{file}",
        "/openapi.json",
        "/api/v1/health",
        "/api/v1/info",
        "/api/v1/live",
        "/api/v1/ready",
    }
)
_SCOPES: dict[str, Scope] = {
    "/api/v1/metrics": "metrics",
    "/api/v1/circuit-breaker/reset": "admin",
    "/api/v1/programs/{name}/releases": "admin",
    "/api/v1/programs/{name}/releases/activate": "admin",
    "/api/v1/programs/{name}/releases/rollback": "admin",
}
_HOW = "Send a key: `Authorization: Bearer <key>` or `X-API-Key: <key>`."


def scope_of(path: str) -> Scope | None:
    """What a caller needs for a path's template, None when nothing; what is not listed is for queries."""
    return None if path in _OPEN else _SCOPES.get(path, "query")


class Gate:
    """Stands before the handlers of the routes that ask for a key; within, ``CALLER`` sent the request.

    Args:
        identifying: knows callers by what they present.
    """

    def __init__(self, *, identifying: Identifying) -> None:
        self._identifying = identifying

    def __repr__(self) -> str:
        return f"<Gate {self._identifying!r}>"

    def guarded(self, paths: Mapping[str, Mapping[str, Handler]]) -> dict[str, Mapping[str, Handler]]:
        """``paths`` with a gate before each handler that needs one."""
        return {path: self._guarded(scope_of(path), handlers) for path, handlers in paths.items()}

    def _guarded(self, scope: Scope | None, handlers: Mapping[str, Handler]) -> Mapping[str, Handler]:
        if scope is None:
            return handlers
        return {method: self._before(handler, scope) for method, handler in handlers.items()}

    def _before(self, handler: Handler, scope: Scope) -> Handler:
        async def guarded(request: Request) -> ASGIApp:
            await self._let_in(request.scope["headers"], scope)
            return await handler(request)

        return guarded

    async def _let_in(self, headers: list[tuple[bytes, bytes]], scope: Scope) -> None:
        credential = credential_in(headers)
        if credential is None:
            raise UnauthorizedError(_HOW)
        caller = await self._identifying.identify(credential)
        CALLER.set(caller)
        if scope not in caller.scopes:
            raise ForbiddenError(f"This key has not the scope `{scope}`.", scope=scope)


def credential_in(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The key or token of a request: a bearer's (RFC 6750, 2.1), else that of ``X-API-Key``; None without."""
    found: str | None = None
    for name, value in headers:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].decode("latin-1").strip()
        if name == b"x-api-key" and found is None:
            found = value.decode("latin-1").strip()
    return found
