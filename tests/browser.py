"""A real browser: Debian's Chromium, which Playwright drives. .ci/run installs it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, Request, sync_playwright

PROGRAM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
MISSING: Final = "the tests of the page in a browser: Chromium is not installed (apt-get install chromium)"
# Runs before every script of a page. Chromium reports what a policy has blocked to the document.
_WATCH: Final = """
window.blocked = [];
document.addEventListener("securitypolicyviolation", (one) =>
  window.blocked.push(`${one.violatedDirective} ${one.blockedURI} ${one.sample}`));
"""


@contextmanager
def running_browser() -> Iterator[Browser]:
    assert PROGRAM is not None
    # Root has no sandbox of its own in a container, and /dev/shm may be small there.
    options = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=options)
        try:
            yield browser
        finally:
            browser.close()


class WatchedPage:
    """A tab that records what must not happen: scripts of others, blocked contents, errors, foreign requests."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.origin = origin
        self.problems: list[str] = []
        context.add_init_script(_WATCH)
        self.page: Page = context.new_page()
        self.page.on("dialog", self._dialog)
        self.page.on("pageerror", lambda error: self.problems.append(f"error {error}"))
        self.page.on("console", self._console)
        self.page.on("request", self._request)

    def _dialog(self, dialog: Dialog) -> None:
        self.problems.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"console {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith(f"{self.origin}/"):
            self.problems.append(f"request {request.url}")

    def visit(self, path: str) -> Page:
        """Load a page, and note what its policy blocked and whether a value ran as a script."""
        self.page.goto(f"{self.origin}{path}", wait_until="load")
        self.check()
        return self.page

    def check(self) -> None:
        blocked, ran = self.page.evaluate("[window.blocked, window.ran ?? null]")
        self.problems += [f"blocked {one}" for one in blocked]
        if ran is not None:
            self.problems.append(f"a value ran as a script: {ran}")
