"""The playground page is whole, comes from this service alone, and may run nothing but its own code."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import httpx

_MAX_COMPRESSED_BYTES = 20_000


async def test_the_page_loads_nothing(client: httpx.AsyncClient) -> None:
    """One answer holds the whole page: it names no other file and no other host."""
    page = await client.get("/")

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert re.findall(r'<(?:script|link|img|iframe)[^>]*(?:src|href)="(?!data:)[^"]*"', page.text) == []
    assert re.findall(r"https?://(?!www\.w3\.org)", page.text) == []
    assert "<!-- script -->" not in page.text
    assert "<!-- style -->" not in page.text


@pytest.mark.parametrize("element", ["script", "style"])
async def test_the_policy_names_exactly_the_code_of_the_page(client: httpx.AsyncClient, element: str) -> None:
    """A browser runs this very script and style, and no other, inline or loaded."""
    page = await client.get("/")
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    (text,) = re.findall(f"<{element}>(.*?)</{element}>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    assert policy[f"{element}-src"] == f"'sha256-{digest}'"
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"


async def test_the_page_has_no_code_in_attributes(client: httpx.AsyncClient) -> None:
    """The policy would forbid them, so a handler or style in an attribute is one that does nothing."""
    page = await client.get("/")

    assert re.findall(r"<[^>]+\s(?:on\w+|style)=", page.text.partition("<script>")[0]) == []


async def test_the_page_is_sent_small(client: httpx.AsyncClient) -> None:
    """Compressed for browsers that take it so, plain for those that do not, and both are the same page."""
    compressed = await client.get("/", headers={"Accept-Encoding": "br, gzip"})
    plain = await client.get("/", headers={"Accept-Encoding": "identity"})

    assert compressed.headers["content-encoding"] == "gzip"
    assert int(compressed.headers["content-length"]) < _MAX_COMPRESSED_BYTES
    assert "content-encoding" not in plain.headers
    assert compressed.text == plain.text
    assert compressed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert len(gzip.compress(plain.content)) < _MAX_COMPRESSED_BYTES


async def test_a_browser_that_has_the_page_is_not_sent_it_again(client: httpx.AsyncClient) -> None:
    """It asks whether its copy is the current one."""
    first = await client.get("/")

    again = await client.get("/", headers={"If-None-Match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["cache-control"] == "no-cache"
