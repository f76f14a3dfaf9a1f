"""A job's layers, quality, performance and artifact, and its tables as files."""

import csv
import io
import json
import re

import pytest

from core.database.tables import Job
from tests.api.conftest import Api
from tests.api.dashboard.conftest import Browser, Jobs, text_of
from tests.factories import make_artifact, make_changed_answer, make_layer

TABS = ("layers", "quality", "performance", "artifact")


@pytest.mark.parametrize("tab", TABS)
def test_a_job_that_has_nothing_yet_says_so(browser: Browser, jobs: Jobs, tab: str) -> None:
    response = browser.get(f"/dashboard/jobs/{jobs.running()}/{tab}")
    assert re.search("No layer is|Nothing is", text_of(response))
    assert "data-stream" in response.text
    assert f'/{tab}" aria-current="page"' in response.text


def test_layers_are_drawn_and_told_in_numbers(browser: Browser, jobs: Jobs, api: Api) -> None:
    job_id = jobs.succeeded()
    with api.session() as session, session.begin():
        job = session.get_one(Job, job_id)
        row = make_layer(session, job, position=1, name="encoder.layer.1.output.dense")
        row.report = row.report | {"measured_error": 0.05, "raw_spectrum": [9.0, 8.0, 7.0, 6.0]}
    response = browser.get(f"/dashboard/jobs/{job_id}/layers")
    shown = text_of(response)
    assert "rank 2 of 8" in shown
    assert "0 output rank 2, 10.0 % left out" in shown
    assert "Dashed: the weight's own spectrum" in shown
    assert shown.count("predicted 0.1, measured") == 2
    assert "0 output 8 × 8 2 50.0 % 10.00 % 100.000 20.00 %" in shown
    assert response.text.count('class="raw-curve"') == 1


def test_quality_tells_labels_and_changed_rows(browser: Browser, jobs: Jobs) -> None:
    shown = text_of(browser.get(f"/dashboard/jobs/{jobs.succeeded()}/quality"))
    assert "1,554 rows of the test split, intervals at 95 %" in shown
    assert "negative 950 94.7 % 94.0 % −0.7 90.0 % 90.2 % +0.2" in shown
    assert "30 1.9 % rows got worse" in shown or "rows got worse 30 1.9 %" in shown
    assert "Rows got worse: 1 of 30 expected better of them" in shown
    assert "true positive dense positive 83 % result negative 61 % row 417" in shown


def test_texts_of_the_data_stay_text(browser: Browser, jobs: Jobs, api: Api) -> None:
    job_id = jobs.succeeded()
    with api.session() as session, session.begin():
        job = session.get_one(Job, job_id)
        texts = ["<script>alert(1)</script>", "<img src=x>"]
        make_changed_answer(session, job, position=1, texts=texts)
    page = browser.get(f"/dashboard/jobs/{job_id}/quality").text
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "<img" not in page


def test_performance_tells_sizes_and_both_percentiles(browser: Browser, jobs: Jobs) -> None:
    response = browser.get(f"/dashboard/jobs/{jobs.succeeded()}/performance")
    shown = text_of(response)
    assert "Parameters, whole model 20,000,000 12,994,000 65.0 %" in shown
    assert "dense 31.24 31.00 to 31.50 33.10 256" in shown
    assert "compressed 22.00 21.83 to 22.18 23.31 364" in shown
    assert 'class="badge"' not in response.text


def test_a_slower_result_wears_its_badge_here_too(browser: Browser, jobs: Jobs) -> None:
    response = browser.get(f"/dashboard/jobs/{jobs.succeeded(speedup=0.86)}/performance")
    assert '<span class="badge">slower</span>' in response.text


def test_the_artifact_says_how_to_load_it(browser: Browser, jobs: Jobs) -> None:
    job_id = jobs.succeeded(name="my model")
    response = browser.get(f"/dashboard/jobs/{job_id}/artifact")
    shown = text_of(response)
    assert f'href="/dashboard/jobs/{job_id}/files/model.safetensors"' in response.text
    assert "56.8 MB abababababab" in shown
    assert f"rankwise download {job_id} my-model" in shown
    assert 'AutoModelForSequenceClassification.from_pretrained("my-model"' in shown
    assert f"http://testserver/v1/jobs/{job_id}/artifacts/model.safetensors/content" in shown


@pytest.mark.parametrize("name", ["$(rm -rf /)", "`id`", "a; b", "../..", '"', "é"])
def test_no_name_reaches_a_shell(browser: Browser, jobs: Jobs, name: str) -> None:
    response = browser.get(f"/dashboard/jobs/{jobs.succeeded(name=name)}/artifact")
    (folder,) = re.findall(r"rankwise download job_\w+ (.*)</code>", response.text)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", folder)


@pytest.mark.parametrize("noun", ["layers", "metrics", "changed-answers", "artifacts"])
def test_every_table_is_a_file_with_the_content_of_its_list(
    browser: Browser, jobs: Jobs, api: Api, noun: str
) -> None:
    job_id = jobs.succeeded()
    listed = api.get(f"/v1/jobs/{job_id}/{noun}").json()["data"]
    own = f"/dashboard/jobs/{job_id}/{noun}"
    as_json, as_csv = browser.get(f"{own}.json"), browser.get(f"{own}.csv")
    assert json.loads(as_json.text) == listed
    assert len(list(csv.DictReader(io.StringIO(as_csv.text)))) == len(listed) > 0
    assert as_csv.headers["content-disposition"] == f'attachment; filename="{job_id}-{noun}.csv"'
    assert browser.get(f"{own}.xlsx").status_code in {404, 422}


def test_no_tab_names_another_host_or_holds_a_script(
    browser: Browser, jobs: Jobs, api: Api
) -> None:
    job_id = jobs.succeeded()
    with api.session() as session, session.begin():
        make_artifact(session, session.get_one(Job, job_id), name="README.md")
    for tab in TABS:
        page = browser.get(f"/dashboard/jobs/{job_id}/{tab}").text
        page = page.replace("http://testserver", "").replace("http://www.w3.org/2000/svg", "")
        assert not re.findall(r"https?://", page)
        assert not re.findall(r"\sstyle=|<style|<script>|\son\w+=|javascript:", page)
