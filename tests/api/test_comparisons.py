"""Jobs beside each other, over HTTP and as a page."""

from core.database.states import JobState
from core.database.tables import Job
from tests.api.conftest import Api, Json
from tests.api.dashboard.conftest import Browser, browser, text_of
from tests.api.test_sweeps import result
from tests.factories import make_inputs, make_layer

__all__ = ["browser"]


def finished(api: Api, accuracy: float, rank: int | None, **changes: object) -> str:
    job_id = str(api.post("/v1/jobs", api.recipe(name=f"job {accuracy}", **changes)).json()["id"])
    with api.session() as session, session.begin():
        job = session.get_one(Job, job_id)
        job.state = JobState.SUCCEEDED
        job.result = result(700, accuracy)
        job.inputs = make_inputs()
        layer = make_layer(session, job)
        layer.report = {**layer.report, "rank": rank}
        make_layer(session, job, position=1, name="encoder.layer.1.output.dense")
    return job_id


def asked(api: Api, *job_ids: str) -> Json:
    answer = api.get("/v1/comparisons", params={"job": list(job_ids)})
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def test_recipes_sizes_metrics_and_ranks_stand_beside_each_other(api: Api) -> None:
    dataset = api.upload().json()["id"]
    one = finished(api, 0.9, 2, dataset=dataset)
    other = finished(api, 0.8, None, dataset=dataset, method={"type": "fwsvd"})
    found = asked(api, one, other)
    assert [job["id"] for job in found["jobs"]] == [one, other]
    told = {each["pointer"]: each["values"] for each in found["recipe"]}
    assert told == {"/method/type": ["svd", "fwsvd"], "/method/sides": [None, "input"]}
    assert found["sizes"]["params"] == [{"before": 1000, "after": 700}] * 2
    (metric,) = found["metrics"]
    assert (metric["name"], metric["values"]) == ("accuracy", [0.9, 0.8])
    assert found["ranks"] == [{"layer": "encoder.layer.0.output.dense", "ranks": [2, None]}]
    assert found["same_rows"] is True


def test_unfinished_jobs_are_compared_as_far_as_they_are(api: Api) -> None:
    one = finished(api, 0.9, 2)
    other = api.post("/v1/jobs", api.recipe()).json()["id"]
    found = asked(api, other, one)
    assert found["metrics"][0]["values"] == [None, 0.9]
    assert found["sizes"]["latency_ms"] == [None, None]
    assert found["same_rows"] is False


def test_two_to_six_of_the_own_project_are_compared(api: Api) -> None:
    one = finished(api, 0.9, 2)
    for ids in ([one], [one] * 7):
        refused = api.get("/v1/comparisons", params={"job": ids})
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_parameter")
    other = api.as_project("prj_other")
    assert other.get("/v1/comparisons", params={"job": [one, one]}).status_code == 404


def test_the_page_shows_what_differs(api: Api, browser: Browser) -> None:
    dataset = api.upload().json()["id"]
    one = finished(api, 0.9, 2, dataset=dataset)
    other = finished(api, 0.8, None, dataset=dataset, method={"type": "fwsvd"})
    page = text_of(browser.get(f"/dashboard/compare?job={one}&job={other}"))
    assert "method · type svd fwsvd" in page
    assert "accuracy % 90.0" in page
    assert "0 output 2 dense" in page
    assert "cannot be compared" not in page
    assert browser.get(f"/dashboard/compare?job={one}").status_code == 422
    shown = browser.get("/dashboard").text
    assert f'name="job" value="{one}"' in shown
