"""A headless Chromium with the playground open in it."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect, sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
)
_SERIOUS = {"serious", "critical"}


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; it is gone afterwards."""
    found = subprocess.run([ROOT / "scripts" / "get-chromium"], check=True, capture_output=True, text=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found.stdout.strip(), args=list(_ARGUMENTS))
        yield browser
        browser.close()


class Playground:
    """One person's tab. What the browser complains about is kept in ``complaints``."""

    def __init__(self, browser: Browser, url: str, *, width: int = 1100, dark: bool = False) -> None:
        self._context = browser.new_context(
            viewport={"width": width, "height": 720}, color_scheme="dark" if dark else "light"
        )
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(15_000)
        expect.set_options(timeout=15_000)
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.goto(url)

    def ask(self, question: str) -> None:
        """Type a question and press Enter, once the one before is answered."""
        expect(self.page.locator("#send")).to_be_visible()
        self.page.fill("#question", question)
        self.page.press("#question", "Enter")

    @property
    def last_reply(self) -> str:
        """What the last answer's card says now."""
        return self.page.locator(".reply").last.inner_text()

    def barriers(self) -> list[str]:
        """What axe finds serious or worse, by rule."""
        found = Axe().run(self.page)
        return [rule["id"] for rule in found.response["violations"] if rule["impact"] in _SERIOUS]

    def close(self) -> None:
        """Close the tab and forget its storage."""
        self._context.close()

    def _note(self, kind: str, text: str) -> None:
        # A refusal is an answer; that Chromium reports it as a failed load is no fault of the page.
        if kind in {"error", "warning"} and not text.startswith("Failed to load resource"):
            self.complaints.append(text)
