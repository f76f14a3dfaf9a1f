"""Lists as tables: the same rows, every field a column, nothing that a spreadsheet would run."""

import csv
import io

from tests.api.conftest import Api
from tests.api.test_sweeps import finish, sweep

CSV = {"Accept": "text/csv"}


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_jobs_come_as_rows_page_by_page(api: Api) -> None:
    for name in ("one", "=HYPERLINK(1)", "three"):
        api.post("/v1/jobs", api.recipe(name=name, labels={"team": "a,b"}))
    first = api.get("/v1/jobs?limit=2", headers=CSV)
    assert first.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = table(first.text)
    assert [row["name"] for row in rows] == ["three", "'=HYPERLINK(1)"]
    assert rows[0]["recipe.budget.value"] == "0.5"
    assert rows[0]["labels.team"] == "a,b"
    link = first.headers["Link"]
    following = api.get(link[1 : link.index(">")], headers=CSV)
    assert [row["name"] for row in table(following.text)] == ["one"]
    assert "Link" not in following.headers


def test_points_have_their_metrics_as_columns(api: Api) -> None:
    made = api.post("/v1/sweeps", sweep(api)).json()
    finish(api, made["id"])
    rows = table(api.get(made["links"]["points"], headers=CSV).text)
    assert len(rows) == 6
    measured = [row for row in rows if row["status"] == "succeeded"]
    assert {row["metrics.accuracy.value"] for row in measured if row["method"] == "svd"} == {
        "0.9",
        "0.89",
        "0.6",
    }


def test_what_is_no_list_stays_as_it_is(api: Api) -> None:
    job = api.post("/v1/jobs", api.recipe()).json()
    one = api.get(f"/v1/jobs/{job['id']}", headers=CSV)
    assert one.headers["Content-Type"] == "application/json"
    assert one.json()["id"] == job["id"]
    refused = api.get("/v1/jobs/job_x/layers", headers=CSV)
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")


def test_an_empty_list_is_an_empty_table(api: Api) -> None:
    answer = api.get("/v1/sweeps", headers=CSV)
    assert answer.status_code == 200
    assert table(answer.text) == []
