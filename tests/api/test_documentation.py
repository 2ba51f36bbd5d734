"""The reference page works from this service alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import httpx


async def test_the_page_and_all_it_loads_come_from_here(client: httpx.AsyncClient) -> None:
    """No address of the page points elsewhere, and each one is served with its type."""
    page = await client.get("/docs")
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)

    assert "://" not in page.text
    assert len(addresses) == 4
    for address in addresses:
        response = await client.get(f"/{address}")
        assert response.status_code == 200
        assert response.headers["content-type"].partition(";")[0] in {
            "text/javascript",
            "application/javascript",
            "text/css",
            "image/png",
        }
        assert response.headers["cache-control"] == "public, max-age=86400"


async def test_the_page_may_run_only_our_scripts(client: httpx.AsyncClient) -> None:
    """The policy lets nothing inline run and nothing load from elsewhere."""
    page = await client.get("/docs")
    policy = page.headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert re.findall(r"<script(?! src)", page.text) == []


@pytest.mark.parametrize(
    "name", ["swagger-editor.js", "oauth2-redirect.html", "LICENSE", "..%2F__init__.py", "x"]
)
async def test_no_other_file_is_served(client: httpx.AsyncClient, name: str) -> None:
    """Of the package's folder only the named files are public."""
    response = await client.get(f"/docs/assets/{name}")

    assert response.status_code == 404
    assert response.json()["error"] == "not_found"
