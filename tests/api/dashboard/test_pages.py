"""Every page in every state that a job can be in."""

import re
from html import unescape
from urllib.parse import quote

import pytest
from httpx import Response

from core.database.states import JobState, Requested
from core.database.tables import Job, now
from tests.api.conftest import Api
from tests.api.dashboard.conftest import Browser, Jobs, named_recipe, text_of
from tests.factories import make_event

SVG_NAMESPACE = 'xmlns="http://www.w3.org/2000/svg"'
ERROR = {
    "stage": "statistics",
    "code": "numerical_failure",
    "message": "the Gram of query is not finite",
    "hint": "Lower the learning rate.",
    "retryable": False,
    "pointer": "/adaptation/learning_rate",
}


def job_page(browser: Browser, job_id: str) -> Response:
    return browser.get(f"/dashboard/jobs/{job_id}")


def test_without_jobs_the_list_shows_how_to_post_the_first(browser: Browser) -> None:
    shown = text_of(browser.get("/dashboard"))
    assert "No job yet" in shown
    assert "http://testserver/v1/jobs" in shown
    assert '"keep_ratio"' in shown


def test_the_list_tells_what_each_job_is_at(browser: Browser, jobs: Jobs) -> None:
    jobs.add(name="waits", recipe=named_recipe(budget={"type": "rank_ratio", "value": 0.33}))
    jobs.running(name="trains")
    jobs.succeeded(name="ended")
    shown = text_of(browser.get("/dashboard"))
    assert "queued waits tiny svd rank ratio 0.33" in shown
    assert "running trains tiny svd keep 50 % of targets" in shown
    assert "finetune 43 %, about 2 min left" in shown
    assert "13.0M of 20.0M −0.8 points accuracy 86.7 → 85.9 %" in shown


def test_the_list_filters_searches_and_pages(browser: Browser, jobs: Jobs) -> None:
    for number in range(27):
        jobs.add(name=f"sweep-{number:02d}")
    jobs.add(JobState.FAILED, name="lost", error=ERROR)
    assert re.findall("sweep-|lost", text_of(browser.get("/dashboard?status=failed"))) == ["lost"]
    assert "sweep-" not in text_of(browser.get("/dashboard?name=LOST"))
    first = browser.get("/dashboard?status=queued")
    older = re.search(r'href="([^"]*)" rel="next"', first.text)
    assert older
    second = browser.get("/dashboard" + older[1].replace("&amp;", "&"))
    names = re.findall(r"sweep-\d\d", text_of(first) + text_of(second))
    assert names == [f"sweep-{number:02d}" for number in reversed(range(27))]


def test_a_search_that_finds_nothing_says_so(browser: Browser, jobs: Jobs) -> None:
    jobs.add(name="here")
    shown = text_of(browser.get("/dashboard?status=failed&name=gone"))
    assert "No job is failed and has “gone” in its name" in shown


def test_a_running_job_that_was_asked_to_stop_is_listed_among_the_running(
    browser: Browser, jobs: Jobs
) -> None:
    jobs.running(name="stops", requested=Requested.CANCEL)
    assert "cancelling stops" in text_of(browser.get("/dashboard?status=running"))


def test_a_queued_job_waits(browser: Browser, jobs: Jobs) -> None:
    shown = text_of(job_page(browser, jobs.add()))
    assert "Waiting for a worker that serves the queue default" in shown
    assert "unnamed job" in shown


def test_a_running_job_shows_progress_cache_and_loss(browser: Browser, jobs: Jobs) -> None:
    response = job_page(browser, jobs.running())
    shown = text_of(response)
    assert "412 of 960 steps 43 % about 2 min left" in shown
    assert '<progress max="960" value="412" aria-label="finetune">' in response.text
    assert "adapt reused" in shown
    assert "from the cache" in shown
    assert "Training loss of finetune, from 0.900 to 0.512" in shown
    assert "Cancel job" in shown


def test_steps_that_a_resumed_attempt_repeats_are_drawn_once(browser: Browser, jobs: Jobs) -> None:
    once, twice = jobs.running(), jobs.running()
    jobs.progress(twice, 200, 0.7)
    jobs.progress(twice, 412, 0.512)
    curves = [
        re.search(r'class="curve"/?>|<path d="([^"]*)" class="curve"', job_page(browser, id).text)
        for id in (once, twice)
    ]
    assert curves[0]
    assert curves[1]
    assert curves[0][0] == curves[1][0]


def test_a_succeeded_job_shows_its_result(browser: Browser, jobs: Jobs) -> None:
    job_id = jobs.succeeded()
    response = job_page(browser, job_id)
    shown = text_of(response)
    assert "weights kept in the target layers 29.9 %" in shown
    assert "86.7 → 85.9 %" in shown
    assert "−0.8 points [−1.8 … +0.2]" in shown
    assert "31.2 → 22.0 ms faster than dense" in shown
    for tab in ("layers", "quality", "performance", "artifact"):
        assert f'href="/dashboard/jobs/{job_id}/{tab}"' in response.text
    assert 'class="badge"' not in response.text
    assert "Cancel job" not in shown
    assert "data-stream" not in response.text


def test_a_slower_result_wears_a_badge(browser: Browser, jobs: Jobs) -> None:
    response = job_page(browser, jobs.succeeded(speedup=0.86))
    assert '<span class="badge">slower</span>' in response.text
    assert "slower than dense: 0.86 times its speed" in text_of(response)


def test_a_failed_job_shows_cause_hint_and_field(browser: Browser, jobs: Jobs) -> None:
    job_id = jobs.add(JobState.FAILED, error=ERROR, finished_at=now())
    jobs.stage(job_id, "statistics", state="running", done=9, total=32, unit="batch")
    shown = text_of(job_page(browser, job_id))
    assert "Failed in statistics the Gram of query is not finite" in shown
    assert "Hint Lower the learning rate." in shown
    assert "/adaptation/learning_rate" in shown
    assert "statistics failed here" in shown
    assert "9 of 32 batches" in shown


def test_a_cancelled_job_says_where_it_stopped(browser: Browser, jobs: Jobs) -> None:
    job_id = jobs.add(JobState.CANCELLED, finished_at=now())
    jobs.stage(job_id, "plan", state="running")
    shown = text_of(job_page(browser, job_id))
    assert "No artifact was published" in shown
    assert "plan stopped here" in shown


@pytest.mark.parametrize("state", [JobState.PAUSED, JobState.QUEUED])
def test_a_stage_that_was_left_off_is_to_be_continued(
    browser: Browser, jobs: Jobs, state: JobState
) -> None:
    job_id = jobs.add(state, started_at=now())
    jobs.stage(job_id, "adapt", state="running", done=30, total=90, unit="step")
    response = job_page(browser, job_id)
    shown = text_of(response)
    assert "adapt to be continued" in shown
    assert "30 of 90 steps" in shown
    assert 'class="span' not in response.text
    assert " took " not in shown


def test_events_are_told_newest_first_without_the_fine_ones(
    browser: Browser, jobs: Jobs, api: Api
) -> None:
    job_id = jobs.running()
    with api.session() as session, session.begin():
        job = session.get_one(Job, job_id)
        make_event(session, job, data={"level": "warning", "message": "batch halved"})
    shown = text_of(job_page(browser, job_id)).split(" Events ")[1]
    assert shown.index("warning batch halved") < shown.index("job.queued submitted")
    assert "stage.progress" not in shown


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", '"><img src=x>', "{{ 7 * 7 }}", "a\u202eb"]
)
def test_names_stay_text(browser: Browser, jobs: Jobs, name: str) -> None:
    recipe = named_recipe(name=name, model={"type": "path", "path": f"/models/{name}"})
    job_id = jobs.succeeded(name=name, recipe=recipe)
    pages = [
        browser.get("/dashboard"),
        browser.get(f"/dashboard?name={quote(name)}"),
        job_page(browser, job_id),
    ]
    for page in pages:
        assert page.status_code == 200
        assert name in unescape(page.text)
        assert "<script>" not in page.text
        assert "<img" not in page.text


def test_another_projects_job_is_not_there(browser: Browser, jobs: Jobs, api: Api) -> None:
    api.as_project("prj_other")
    job_id = jobs.succeeded(project_id="prj_other", name="theirs")
    tabs = ("/layers", "/quality", "/performance", "/artifact", "/layers.csv", "/metrics.json")
    for address in ("", "/stream", "/files/model.safetensors", *tabs):
        response = browser.get(f"/dashboard/jobs/{job_id}{address}")
        assert response.status_code == 404
        assert "theirs" not in response.text
    assert "theirs" not in browser.get("/dashboard").text


@pytest.mark.parametrize(
    "address", ["/dashboard?after=garbage", "/dashboard?name=" + "x" * 300, "/dashboard/jobs/nope"]
)
def test_what_is_not_there_or_not_valid_is_said_on_a_page(browser: Browser, address: str) -> None:
    response = browser.get(address)
    assert response.status_code in {400, 404, 422}
    assert response.headers["content-type"].startswith("text/html")
    assert "<h1>" in response.text


def test_no_page_names_another_host_or_holds_a_script_or_a_style(
    browser: Browser, jobs: Jobs
) -> None:
    ids = [jobs.add(), jobs.running(), jobs.succeeded(), jobs.add(JobState.FAILED, error=ERROR)]
    addresses = ["/dashboard", "/dashboard/sign-in", *(f"/dashboard/jobs/{id}" for id in ids)]
    for address in addresses:
        page = browser.get(address)
        assert (
            "default-src 'self'; frame-ancestors 'none'" in page.headers["content-security-policy"]
        )
        assert not re.findall(r"https?://", page.text.replace(SVG_NAMESPACE, ""))
        assert not re.findall(r"\sstyle=|<style|<script>|\son\w+=|javascript:", page.text)


def test_assets_are_served_as_what_they_are_and_may_be_kept(browser: Browser) -> None:
    page = browser.get("/dashboard/sign-in").text
    addresses = re.findall(r'"(/dashboard/static/[^"]*)"', page)
    assert len(addresses) == 4
    for address in addresses:
        asset = browser.get(address)
        assert asset.status_code == 200
        assert "immutable" in asset.headers["cache-control"]
        assert "http" not in asset.text.replace(SVG_NAMESPACE, "")
    assert browser.get("/dashboard/static/../endpoints.py").status_code == 404


def test_pages_read_the_same_from_each_kind_of_database(api_on_each: Api) -> None:
    jobs, browser = Jobs(api_on_each), Browser(api_on_each)
    browser.sign_in(api_on_each.token)
    running, succeeded = jobs.running(name="Trains"), jobs.succeeded()
    assert "Trains" in text_of(browser.get("/dashboard?name=trai&status=running"))
    assert "Training loss of finetune" in text_of(job_page(browser, running))
    assert "−0.8 points" in text_of(job_page(browser, succeeded))
