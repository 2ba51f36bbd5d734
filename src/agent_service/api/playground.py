"""GET /: a page to talk to the agent with, in one answer and from this service alone."""

from __future__ import annotations

import gzip
import hashlib
from base64 import b64encode
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.requests import Request

_SCRIPTS = ("service.js", "transcript.js", "fields.js", "tiles.js", "main.js")


class Playground:
    """The page, put together when it is first asked for."""

    async def page(self, request: Request) -> Response:
        """The page, compressed where the browser takes it so; 304 when it has it already."""
        headers = {
            "Cache-Control": "no-cache",
            "Content-Security-Policy": self._page.policy,
            "ETag": self._page.etag,
            "Referrer-Policy": "no-referrer",
            "Vary": "Accept-Encoding",
        }
        if request.headers.get("if-none-match") == self._page.etag:
            return Response(status_code=304, headers=headers)
        body = self._page.html
        if "gzip" in request.headers.get("accept-encoding", ""):
            body, headers["Content-Encoding"] = self._page.compressed, "gzip"
        return Response(body, media_type="text/html", headers=headers)

    @cached_property
    def _page(self) -> _Page:
        return _Page()


class _Page:
    """The files of the page in one, and the policy that lets exactly its own script and style run."""

    def __init__(self) -> None:
        folder = files("agent_service.api").joinpath("playground")
        style = folder.joinpath("style.css").read_text(encoding="utf-8")
        parts = [folder.joinpath(name).read_text(encoding="utf-8") for name in _SCRIPTS]
        script = "\n".join(['"use strict";', "{", *parts, "}"])
        html = folder.joinpath("page.html").read_text(encoding="utf-8")
        html = html.replace("<!-- style -->", f"<style>{style}</style>")
        self.html = html.replace("<!-- script -->", f"<script>{script}</script>").encode()
        self.compressed = gzip.compress(self.html, mtime=0)
        self.etag = f'"{hashlib.sha256(self.html).hexdigest()[:32]}"'
        self.policy = "; ".join(
            [
                "default-src 'none'",
                f"script-src '{_hash_of(script)}'",
                f"style-src '{_hash_of(style)}'",
                "connect-src 'self'",
                "img-src data:",
                "base-uri 'none'",
                "form-action 'none'",
                "frame-ancestors 'none'",
                "require-trusted-types-for 'script'",
            ]
        )


def _hash_of(text: str) -> str:
    """A source expression of Content Security Policy Level 3, section 2.3.1."""
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
