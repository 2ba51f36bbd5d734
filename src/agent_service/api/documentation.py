"""The API reference for people: a page with Swagger UI, all from this service, and the OpenAPI document."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import FileResponse, Response

from agent_service.core.errors import NotFoundError

if TYPE_CHECKING:
    from starlette.requests import Request

_FILES = frozenset({"swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"})
_CACHED = {"Cache-Control": "public, max-age=86400"}
_START_SCRIPT = """\
window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Agent Service API</title>
<link rel="icon" href="docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="docs/assets/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/assets/swagger-ui-bundle.js"></script>
<script src="docs/assets/start.js"></script>
</body>
</html>
"""
# Swagger UI sets style attributes and draws its icons from data URLs.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Documentation:
    """The reference page, its files and the OpenAPI document it shows.

    Args:
        openapi_json: the document, ready to send.
    """

    def __init__(self, *, openapi_json: bytes) -> None:
        self._openapi_json = openapi_json
        self._folder = _swagger_ui_folder()

    async def page(self, request: Request) -> Response:  # noqa: ARG002 - the signature of a handler
        """The reference page; loads nothing from elsewhere."""
        return Response(_PAGE, media_type="text/html", headers={"Content-Security-Policy": _POLICY})

    async def openapi(self, request: Request) -> Response:  # noqa: ARG002 - the signature of a handler
        """The OpenAPI document."""
        return Response(self._openapi_json, media_type="application/json")

    async def asset(self, request: Request) -> Response:
        """A script, style or icon of the page, from a closed set of names."""
        name = request.path_params["file"]
        if name == "start.js":
            return Response(_START_SCRIPT, media_type="text/javascript", headers=_CACHED)
        if name not in _FILES:
            raise NotFoundError
        return FileResponse(self._folder / name, headers=_CACHED)


def _swagger_ui_folder() -> Path:
    """Where the package keeps Swagger UI's files, found without running its code."""
    spec = find_spec("swagger_ui")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("The package swagger-ui-py is not installed.")
    return Path(next(iter(spec.submodule_search_locations))) / "static"
