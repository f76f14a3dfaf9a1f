"""The form of a new job: what it offers, the plan of what is chosen, and what it queues."""

import json
import re
from html import unescape
from urllib.parse import urlencode

import yaml

from core.database.tables import Job
from tests.api.conftest import Api
from tests.api.dashboard.conftest import Browser, text_of


def address(api: Api, **changes: object) -> str:
    dataset = changes.pop("dataset", None) or api.upload(name="texts.csv").json()["id"]
    fields = {"model": f"path:{api.model}", "dataset": dataset, "keep": 50, **changes}
    return f"/dashboard/new?{urlencode(fields)}"


def test_at_first_there_is_nothing_to_plan(browser: Browser) -> None:
    page = text_of(browser.get("/dashboard/new"))
    assert "Choose a model and data" in page
    assert "The data" not in page
    assert "tiny (bert" in page


def test_what_is_chosen_is_planned_shown_and_copied(browser: Browser, api: Api) -> None:
    page = browser.get(address(api, name="my job"))
    shown = text_of(page)
    assert "from shapes alone" in shown
    assert "Text column text label" in shown
    assert "text number 0 bad" in shown
    blocks = [unescape(block) for block in re.findall(r"<pre><code>(.*?)</code>", page.text, re.S)]
    recipe = yaml.safe_load(blocks[0])
    assert recipe["budget"] == {"type": "keep_ratio", "value": 0.5}
    assert recipe["preset"] == "best-no-training"
    assert json.loads(blocks[2].split("-d '")[1].rstrip("'")) == recipe
    compile(blocks[1], "copied", "exec")
    assert api.post("/v1/jobs", recipe).status_code == 202


def test_a_smaller_budget_is_another_plan(browser: Browser, api: Api) -> None:
    dataset = api.upload().json()["id"]
    kept = [
        re.findall(r"<dd>([\d.]+) %", browser.get(address(api, dataset=dataset, keep=keep)).text)[0]
        for keep in (90, 40)
    ]
    assert 90 >= float(kept[0]) > 40 >= float(kept[1])


def test_what_cannot_be_queued_says_why(browser: Browser, api: Api) -> None:
    page = text_of(browser.get(address(api, keep=2)))
    assert "This cannot be queued" in page
    assert "/budget/value: the budget allows" in page
    page = text_of(browser.get(address(api, label="text")))
    assert "/task/label" in page


def test_the_job_that_was_planned_is_queued(browser: Browser, api: Api) -> None:
    dataset = api.upload().json()["id"]
    fields = {
        "model": f"path:{api.model}",
        "dataset": dataset,
        "text": "text",
        "label": "label",
        "preset": "fast",
        "keep": "60",
        "name": "mine",
    }
    csrf = browser.csrf("/dashboard/new")
    sent = browser.post("/dashboard/new", csrf=csrf, **fields)
    assert sent.status_code == 303
    job = api.get(sent.headers["Location"].replace("/dashboard", "/v1")).json()
    assert (job["name"], job["recipe"]["preset"]) == ("mine", "fast")
    refused = browser.post("/dashboard/new", csrf=csrf, **{**fields, "keep": "2"})
    assert refused.status_code == 422
    assert "This cannot be queued" in refused.text
    assert browser.post("/dashboard/new", csrf="x", **fields).status_code == 403
    assert api.count(Job) == 1


def test_the_address_never_holds_the_forms_token(browser: Browser) -> None:
    page = browser.get("/dashboard/new").text
    assert '<input type="hidden" name="csrf"' not in page.split('class="desk"')[1]


def test_a_reader_plans_and_does_not_queue(api: Api, stranger: Browser) -> None:
    stranger.sign_in(api.key(["read"]))
    assert "Queue the job" not in stranger.get(address(api)).text
    csrf = stranger.csrf("/dashboard")
    assert stranger.post("/dashboard/new", csrf=csrf, model="path:/x").status_code == 403
    api.http.cookies.clear()


def test_a_drop_in_place_of_a_size_has_no_plan_and_is_queued(browser: Browser, api: Api) -> None:
    dataset = api.upload().json()["id"]
    page = text_of(browser.get(address(api, dataset=dataset, drop="0.01")))
    assert "finds the smallest model that loses at most 0.01" in page
    fields = {"model": f"path:{api.model}", "dataset": dataset, "preset": "fast", "drop": "0.01"}
    csrf = browser.csrf("/dashboard/new")
    sent = browser.post("/dashboard/new", csrf=csrf, **fields)
    job = api.get(sent.headers["Location"].replace("/dashboard", "/v1")).json()
    assert job["recipe"]["budget"]["type"] == "max_drop"
    assert job["recipe"]["budget"]["abs"] == 0.01
    assert browser.get(address(api, dataset=dataset, drop="much")).status_code == 422
