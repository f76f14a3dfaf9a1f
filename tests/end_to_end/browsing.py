"""A real browser on the service's pages, which keeps what must not happen: errors and strangers."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@dataclass
class Visit:
    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    """Console errors, failed scripts, and requests to another host."""

    def open(self, address: str) -> None:
        self.page.goto(self.url + address)

    def sign_in(self, key: str) -> None:
        self.open("/dashboard/sign-in")
        self.page.fill("input[name=key]", key)
        self.page.click("button.main-button")
        self.page.wait_for_url("**/dashboard")


@contextmanager
def browsing(url: str) -> Iterator[Visit]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        visit = Visit(page, url)
        page.on(
            "console",
            lambda message: (
                visit.complaints.append(message.text) if message.type == "error" else None
            ),
        )
        page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(url)
                else visit.complaints.append(f"asks {request.url}")
            ),
        )
        yield visit
        browser.close()
