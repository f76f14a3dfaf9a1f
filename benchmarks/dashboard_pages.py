"""How soon a browser shows the dashboard's pages of a project with 1,000 jobs.

    python -m benchmarks.dashboard_pages [--jobs 1000] [--visits 20]

The service is the embedded default on this machine's loopback, its jobs are posted as sweeps that
are cancelled at once, and the browser is the machine's own Chromium, without a window. A visit is
timed from the navigation until the page's last part is drawn.
"""

import argparse
import shutil
import tempfile
from pathlib import Path
from time import perf_counter

import httpx
import numpy as np
from playwright.sync_api import Page, sync_playwright

from benchmarks.grid import markdown
from benchmarks.openapi_cases import existing
from demo.assets import model_folder
from demo.recipe import demo_recipe
from demo.service import Service, running_service

AT_ONCE = 100
"""Points of a sweep."""
PAGES = {
    "/dashboard": "table.jobs tbody tr:nth-child(25)",
    "/dashboard?status=cancelled": "table.jobs tbody tr:nth-child(25)",
    "/dashboard/sweeps": "table.sweeps tbody tr",
    "/dashboard/queue": "main h1",
    "/dashboard/library": "main h1",
}
"""By address, what is drawn last."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--visits", type=int, default=20)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        running_service(Path(folder) / "service", model_folder().parent) as service,
    ):
        dataset = existing(service.url, service.key, Path(folder))["dataset_id"]
        fill(service, dataset, options.jobs)
        print(report(visited(service, options.visits)))


def fill(service: Service, dataset: str, jobs: int) -> None:
    recipe = demo_recipe(dataset)
    del recipe["budget"]
    budgets = [{"type": "keep_ratio", "value": 0.3 + n / 1000} for n in range(AT_ONCE)]
    headers = {"Authorization": f"Bearer {service.key}"}
    with httpx.Client(base_url=service.url, headers=headers, timeout=120) as client:
        for _ in range(-(-jobs // AT_ONCE)):
            posted = client.post("/v1/sweeps", json={"recipe": recipe, "budgets": budgets})
            sweep = posted.raise_for_status().json()["id"]
            client.post(f"/v1/sweeps/{sweep}/cancel", json={}).raise_for_status()


def visited(service: Service, visits: int) -> dict[str, list[float]]:
    """Seconds of each visit, the first of each page left out."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{service.url}/dashboard/sign-in")
        page.fill("input[name=key]", service.key)
        page.click("button.main-button")
        page.wait_for_url("**/dashboard")
        times = {address: visit(page, service.url, address, visits + 1)[1:] for address in PAGES}
        browser.close()
    return times


def visit(page: Page, url: str, address: str, visits: int) -> list[float]:
    seconds = []
    for _ in range(visits):
        started = perf_counter()
        page.goto(url + address)
        page.wait_for_selector(PAGES[address])
        seconds.append(perf_counter() - started)
    return seconds


def report(times: dict[str, list[float]]) -> str:
    rows = [
        (address, *(f"{1e3 * value:.0f} ms" for value in np.percentile(seconds, [50, 95, 100])))
        for address, seconds in times.items()
    ]
    return markdown(("page", "median", "p95", "worst"), rows)


if __name__ == "__main__":
    main()
