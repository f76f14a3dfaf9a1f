"""Sweeps over HTTP: all points or none, weighed by what jobs measured, promoted to full jobs."""

from typing import Any

import pytest
from sqlalchemy import select

from core.database.states import JobState
from core.database.tables import Job, Sweep
from tests.api.conftest import Api, Json

FRONT = {0.5: (900, 0.90), 0.3: (700, 0.89), 0.25: (500, 0.60)}


def sweep(api: Api, **changes: Any) -> Json:
    recipe = {name: value for name, value in api.recipe().items() if name not in ("budget",)}
    return {
        "name": "mine",
        "recipe": recipe,
        "budgets": [{"type": "keep_ratio", "value": value} for value in FRONT],
        "methods": [{}, {"method": {"type": "fwsvd"}}],
    } | changes


def result(params: int, accuracy: float) -> Json:
    def sizes(width: int) -> Json:
        both = {"before": 1000 * width, "after": params * width}
        return {"model": both, "targets": both}

    metrics = {
        phase: {"accuracy": {"value": value, "interval": [value, value], "n": 10, "drop": 0.0}}
        for phase, value in (("dense", 0.91), ("factorized", accuracy))
    }
    return {"metrics": metrics, "params": sizes(1), "bytes": sizes(4), "headline": "accuracy"}


def finish(api: Api, sweep_id: str) -> None:
    """As if workers had done all svd jobs; those of fwsvd are a bit worse, one has failed."""
    with api.session() as session, session.begin():
        for job in session.scalars(select(Job).where(Job.sweep_id == sweep_id)):
            params, accuracy = FRONT[job.recipe["budget"]["value"]]
            is_svd = job.recipe["method"]["type"] == "svd"
            fails = not is_svd and params == 500
            job.state = JobState.FAILED if fails else JobState.SUCCEEDED
            if fails:
                job.error = {"code": "numerical_error", "message": "not finite"}
            else:
                job.result = result(params, accuracy if is_svd else accuracy - 0.05)


def test_all_points_are_queued_with_their_sweep(api_on_each: Api) -> None:
    api = api_on_each
    answer = api.post("/v1/sweeps", sweep(api))
    assert answer.status_code == 202, answer.text
    found = answer.json()
    assert found["statuses"] == {"queued": 6}
    assert found["shared"] == {"adaptations": 1, "statistics_passes": 1}
    assert answer.headers["Location"] == found["links"]["self"] == f"/v1/sweeps/{found['id']}"
    points = api.get(found["links"]["points"]).json()["data"]
    told = sorted((p["budget"]["value"], p["method"]) for p in points)
    assert told == sorted((b, m) for b in FRONT for m in ("svd", "fwsvd"))
    job = api.get(f"/v1/jobs/{points[0]['job_id']}").json()
    assert job["sweep_id"] == found["id"]
    assert job["recipe"]["evaluation"]["split"] == "validation"
    assert api.get("/v1/sweeps").json()["data"][0]["id"] == found["id"]


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"budgets": [{"type": "keep_ratio", "value": 1e-9}]}, "/budgets/0", "budget_below_floor"),
        (
            {"methods": [{}, {"finetune": {"type": "mixed_rank"}}]},
            "/methods/1/finetune",
            "refused",
        ),
        ({"budgets": [{"type": "keep_ratio", "value": 2}]}, "/budgets/0/value", "less_than_equal"),
        ({"seeds": [1, -1]}, "/seeds/1", "greater_than_equal"),
    ],
)
def test_one_refused_point_refuses_all(api: Api, changes: Json, pointer: str, code: str) -> None:
    refused = api.post("/v1/sweeps", sweep(api, **changes))
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["pointer"].startswith(pointer)
    assert error["code"] == code
    assert api.count(Job) == api.count(Sweep) == 0


def test_a_bad_field_of_the_recipe_is_named_in_it(api: Api) -> None:
    spec = sweep(api)
    spec["recipe"]["task"]["dataset"]["id"] = "ds_" + "0" * 26
    refused = api.post("/v1/sweeps", spec).json()
    assert refused["errors"][0]["pointer"] == "/recipe/task/dataset/id"
    spec["recipe"]["colour"] = 1
    refused = api.post("/v1/sweeps", spec).json()
    assert refused["errors"][0]["pointer"] == "/recipe/colour"


def test_a_sweep_that_would_overfill_the_queue_queues_nothing(api: Api) -> None:
    api.app.state.settings = api.settings.model_copy(update={"max_queued_jobs": 5})
    refused = api.post("/v1/sweeps", sweep(api))
    assert refused.status_code == 429
    assert refused.json()["code"] == "queue_full"
    assert api.count(Job) == api.count(Sweep) == 0


def test_a_repeated_request_is_one_sweep(api: Api) -> None:
    body = sweep(api)
    first, again = (
        api.post("/v1/sweeps", body, **{"Idempotency-Key": "one"}).json() for _ in range(2)
    )
    assert first == again
    assert api.count(Sweep) == 1
    assert api.count(Job) == 6


def test_finished_points_are_weighed(api: Api) -> None:
    made = api.post("/v1/sweeps", sweep(api)).json()
    empty = api.get(made["links"]["pareto"]).json()
    assert (empty["points"], empty["dense"], empty["knee"]) == ([], None, None)
    finish(api, made["id"])
    assert api.get(made["links"]["self"]).json()["statuses"] == {"succeeded": 5, "failed": 1}
    found = api.get(made["links"]["pareto"] + "?against=params").json()
    assert found["metric"] == "accuracy"
    assert found["split"] == "validation"
    assert found["dense"] == {"params": 1000, "bytes": 4000, "latency_ms": None, "value": 0.91}
    assert [p["cost"] for p in found["points"]] == [500, 700, 700, 900, 900]
    fronts = {p["job_id"]: (p["cost"], p["method"]) for p in found["points"] if p["on_front"]}
    assert sorted(fronts.values()) == [(500, "svd"), (700, "svd"), (900, "svd")]
    assert fronts[found["knee"]] == (700, "svd")
    assert api.get(made["links"]["pareto"] + "?against=latency").json()["points"] == []
    unknown = api.get(made["links"]["pareto"] + "?metric=f1")
    assert unknown.json()["errors"][0]["parameter"] == "metric"


def test_a_point_becomes_a_full_job(api: Api) -> None:
    made = api.post("/v1/sweeps", sweep(api)).json()
    point = api.get(made["links"]["points"]).json()["data"][0]
    changes = {"name": "release", "finetune": {"type": "distill"}}
    promotion = {"job_id": point["job_id"], "changes": changes}
    answer = api.post(f"{made['links']['self']}/promote", promotion)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert job["name"] == "release"
    assert job["sweep_id"] is None
    assert job["recipe"]["evaluation"]["split"] == "test"
    assert job["recipe"]["finetune"]["type"] == "distill"
    assert job["recipe"]["budget"] == point["budget"]
    bad = {"job_id": point["job_id"], "changes": {"finetune": {"type": "mixed_rank"}}}
    refused = api.post(f"{made['links']['self']}/promote", bad).json()
    assert refused["errors"][0]["pointer"] == "/changes/finetune"
    other = api.post("/v1/jobs", api.recipe()).json()
    assert api.post(f"{made['links']['self']}/promote", {"job_id": other["id"]}).status_code == 404


def test_a_sweep_is_cancelled_and_then_forgotten(api: Api) -> None:
    made = api.post("/v1/sweeps", sweep(api)).json()
    route = made["links"]["self"]
    refused = api.delete(route)
    assert (refused.status_code, refused.json()["code"]) == (409, "sweep_unfinished")
    assert api.post(f"{route}/cancel").json()["statuses"] == {"cancelled": 6}
    assert api.delete(route).status_code == 204
    assert api.get(route).status_code == 404
    assert api.count(Job) == 6
    assert {job["sweep_id"] for job in api.get("/v1/jobs").json()["data"]} == {None}


def test_another_project_sees_nothing_of_it(api: Api) -> None:
    route = api.post("/v1/sweeps", sweep(api)).json()["links"]["self"]
    other = api.as_project("prj_other")
    assert other.get("/v1/sweeps").json()["data"] == []
    for part in ("", "/points", "/pareto"):
        assert other.get(route + part).status_code == 404
    assert other.post(f"{route}/cancel").status_code == 404
    assert other.post(f"{route}/promote", {"job_id": "job_x"}).status_code == 404
    assert other.delete(route).status_code == 404


def test_what_is_no_evaluation_is_refused_by_its_field(api: Api) -> None:
    spec = sweep(api)
    spec["recipe"]["evaluation"] = "soon"
    refused = api.post("/v1/sweeps", spec)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/recipe/evaluation"
    spec = sweep(api, seeds=[1, 2])
    spec["recipe"]["seed"] = "many"
    refused = api.post("/v1/sweeps", spec)
    assert refused.json()["errors"][0]["pointer"] == "/recipe/seed"
    made = api.post("/v1/sweeps", sweep(api)).json()
    point = api.get(made["links"]["points"]).json()["data"][0]
    promotion = {"job_id": point["job_id"], "changes": {"evaluation": 3}}
    refused = api.post(f"{made['links']['self']}/promote", promotion)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/changes/evaluation"
