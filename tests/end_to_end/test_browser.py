"""The main job in a real browser, from the form to the ranks, on a real worker."""

import time
from urllib.parse import urlencode

import pytest

from demo.service import Service
from tests.end_to_end.browsing import CHROMIUM, browsing
from tests.end_to_end.client import Client

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

MANY_JOBS = 1000


def test_a_job_from_the_form_to_its_ranks(service: Service, client: Client) -> None:
    """A result of the service, which knows the task, compressed further."""
    learned = client.run(client.recipe(method={"type": "svd"}, finetune={"type": "none"}))
    dataset = learned["recipe"]["task"]["dataset"]["id"]
    chosen = {"model": f"job:{learned['id']}", "dataset": dataset, "preset": "fast", "keep": 30}
    with browsing(service.url) as visit:
        page = visit.page
        visit.sign_in(service.key)
        visit.open(f"/dashboard/new?{urlencode(chosen)}")
        before = page.text_content("#plan dd")
        page.fill("#keep", "40")
        changed = "before => document.querySelector('#plan dd').textContent !== before"
        page.wait_for_function(changed, arg=before)
        assert "keep=40" in page.url
        page.fill("#name", "from a browser")
        page.click("button:has-text('Queue the job')")
        page.wait_for_url("**/dashboard/jobs/*")
        job = client.wait_until_finished(page.url.rsplit("/", 1)[1])
        assert job["status"] == "succeeded", job["error"]
        page.wait_for_selector("#status .status-succeeded", timeout=10_000)
        page.wait_for_selector("#h-result")
        assert page.locator("svg.drawing").count() >= 2
        for tab, heading in (("Layers", "spectra"), ("Quality", "answers"), ("Artifact", "load")):
            page.click(f".tabs >> text={tab}")
            page.wait_for_selector(f"#h-{heading}")
        page.click("nav >> text=Jobs")
        assert "from a browser" in (page.text_content("table.jobs") or "")
        assert visit.complaints == []


def test_a_thousand_jobs_are_listed_within_a_second(service: Service, client: Client) -> None:
    recipe = client.recipe(method={"type": "svd"}, finetune={"type": "none"})
    blocked = client.post("/v1/jobs", recipe).json()["id"]
    missing = MANY_JOBS - 1
    budgets = [{"type": "keep_ratio", "value": 0.5 + n / 1000} for n in range(100)]
    del recipe["budget"]
    for _ in range(-(-missing // 100)):
        sweep = client.post("/v1/sweeps", {"recipe": recipe, "budgets": budgets}).json()
        client.post(f"/v1/sweeps/{sweep['id']}/cancel", {}).raise_for_status()
    client.wait_until_finished(blocked)
    with browsing(service.url) as visit:
        visit.sign_in(service.key)
        started = time.perf_counter()
        visit.open("/dashboard")
        visit.page.wait_for_selector("table.jobs tbody tr:nth-child(25)")
        assert time.perf_counter() - started < 1
        assert int(visit.page.text_content(".filters .count") or 0) >= MANY_JOBS
        assert visit.complaints == []
