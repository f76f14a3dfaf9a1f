"""Retention on the admin page, and what a job's page says once its files went."""

from core.jobs.dropping import drop_artifacts
from tests.api.conftest import Api
from tests.api.dashboard.conftest import Browser, text_of
from tests.api.test_retention import ROUTE, finished, put

ADMIN = "/dashboard/admin"


def test_the_admin_page_shows_and_sets_it(api: Api, browser: Browser) -> None:
    finished(api, days=40)
    assert "Artifacts" in text_of(browser.get(ADMIN))
    sent = {"artifacts": "30", "events": "", "workspaces": "", "cache": "14"}
    saved = browser.post(f"{ADMIN}/retention", csrf=browser.csrf(ADMIN), **sent)
    assert saved.status_code == 303
    assert api.get(ROUTE).json() == {
        "object": "retention",
        "artifacts_days": 30,
        "events_days": None,
        "workspaces_days": 1,
        "cache_days": 14,
    }
    assert "1 job, 1.0 kB" in text_of(browser.get(ADMIN))
    refused = browser.post(f"{ADMIN}/retention", csrf=browser.csrf(ADMIN), artifacts="soon")
    assert refused.status_code == 422
    assert "is no number of days" in refused.text
    assert api.get(ROUTE).json()["artifacts_days"] == 30


def test_the_artifact_page_says_that_files_were_dropped(api: Api, browser: Browser) -> None:
    job = finished(api, days=40)
    put(api, {"artifacts_days": 30})
    drop_artifacts(api.app.state.sessions, api.app.state.storage)
    page = text_of(browser.get(f"/dashboard/jobs/{job}/artifact"))
    assert "The files had their time" in page
