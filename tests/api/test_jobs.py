"""Jobs over HTTP: submitted, listed, looked into, cancelled."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from core.database.states import JobState, Requested
from core.database.tables import Dataset, Job, now
from tests.api.conftest import Api
from tests.factories import (
    make_attempt,
    make_event,
    make_job,
    make_layer,
    make_metric,
    make_stage,
)


def ids(page: Any) -> list[str]:
    assert page.status_code == 200, page.text
    return [job["id"] for job in page.json()["data"]]


def test_a_submitted_job_is_queued_with_its_resolved_inputs(api_on_each: Api) -> None:
    api = api_on_each
    answer = api.post("/v1/jobs?priority=7", api.recipe(name="first", labels={"team": "search"}))
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["status"], job["priority"], job["labels"]) == ("queued", 7, {"team": "search"})
    assert api.get(answer.headers["location"]).json() == job
    with api.session() as session:
        row = session.get(Job, job["id"])
        dataset = session.scalar(select(Dataset))
        assert row is not None
        assert dataset is not None
        assert row.inputs == {
            "model_path": str(api.model),
            "model_digest": row.inputs["model_digest"],
            "dataset_path": None,
            "dataset_key": dataset.storage_key,
            "dataset_format": "csv",
            "dataset_sha256": dataset.sha256,
            "flops": row.inputs["flops"],
        }
        assert len(row.inputs["model_digest"]) == 64
        assert row.inputs["flops"] > 0


def test_the_doorbell_rings_after_the_commit(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    committed: list[int] = []
    monkeypatch.setattr(
        api.app.state.doorbell, "ring", lambda queue: committed.append(api.count(Job))
    )
    api.post("/v1/jobs", api.recipe())
    assert committed == [1]


def test_a_refused_job_does_not_ring(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    rings: list[str] = []
    monkeypatch.setattr(api.app.state.doorbell, "ring", lambda queue: rings.append(queue))
    api.post("/v1/jobs", api.recipe(seed=-1))
    assert rings == []


def test_pages_are_stable_while_jobs_are_added(api_on_each: Api) -> None:
    api = api_on_each
    moment = now()
    with api.session() as session, session.begin():
        old = [
            make_job(session, created_at=moment - timedelta(seconds=n // 2)).id for n in range(7)
        ]
    seen: list[str] = []
    cursor = ""
    while True:
        page = api.get(f"/v1/jobs?limit=3{cursor}")
        seen += ids(page)
        with api.session() as session, session.begin():
            make_job(session, created_at=now() + timedelta(seconds=1))
        if not page.json()["has_more"]:
            break
        cursor = f"&after={page.json()['next_cursor']}"
    assert sorted(seen) == sorted(old)
    assert len(set(seen)) == len(seen)


def test_both_orders_are_each_others_reverse(api: Api) -> None:
    with api.session() as session, session.begin():
        for _ in range(4):
            make_job(session, created_at=now())
    newest, oldest = ids(api.get("/v1/jobs")), ids(api.get("/v1/jobs?order=asc"))
    assert newest == oldest[::-1]
    assert len(newest) == 4


def test_filters_select_by_status_label_name_and_time(api_on_each: Api) -> None:
    api, moment = api_on_each, now()
    running = {"state": JobState.RUNNING}
    with api.session() as session, session.begin():
        made = {
            "queued": make_job(session, name="50%_off", labels={"team": "search", "a.b": "c:d"}),
            "running": make_job(session, name="Other", labels={"team": "ads"}, **running),
            "pausing": make_job(session, requested=Requested.PAUSE, **running),
            "cancelling": make_job(session, requested=Requested.CANCEL, **running),
            "failed": make_job(
                session, state=JobState.FAILED, created_at=moment - timedelta(days=1)
            ),
        }
        id_of = {status: job.id for status, job in made.items()}
    for status, id in id_of.items():
        assert ids(api.get("/v1/jobs", params={"status": status})) == [id]
    both = ids(api.get("/v1/jobs?status=queued&status=failed"))
    assert sorted(both) == sorted([id_of["queued"], id_of["failed"]])
    labelled = {
        ("team:search",): ["queued"],
        ("team:search", "a.b:c:d"): ["queued"],
        ("team:search", "a.b:c"): [],
        ("team:ads",): ["running"],
        ("nope:x",): [],
    }
    for labels, statuses in labelled.items():
        found = ids(api.get("/v1/jobs", params={"label": list(labels)}))
        assert found == [id_of[status] for status in statuses], labels
    assert ids(api.get("/v1/jobs", params={"search": "50%_"})) == [id_of["queued"]]
    assert ids(api.get("/v1/jobs", params={"search": "OTHER"})) == [id_of["running"]]
    assert ids(api.get("/v1/jobs", params={"search": "5_%"})) == []
    earlier = {"created_before": (moment - timedelta(hours=1)).isoformat()}
    later = {"created_after": (moment - timedelta(hours=1)).isoformat()}
    assert ids(api.get("/v1/jobs", params=earlier)) == [id_of["failed"]]
    assert len(ids(api.get("/v1/jobs", params=later))) == 4


def test_a_queued_job_is_cancelled_at_once_and_only_once(api_on_each: Api) -> None:
    api = api_on_each
    job = api.post("/v1/jobs", api.recipe()).json()["links"]["self"]
    cancelled = api.post(f"{job}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    again = api.post(f"{job}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "illegal_transition")
    types = [event["type"] for event in api.get(f"{job}/events").json()["data"]]
    assert types == ["job.queued", "job.cancelled"]


def test_a_running_job_is_asked_to_stop(api: Api) -> None:
    with api.session() as session, session.begin():
        job = make_job(session, state=JobState.RUNNING, epoch=1)
    asked = api.post(f"/v1/jobs/{job.id}/cancel")
    assert (asked.status_code, asked.json()["status"]) == (202, "cancelling")


def test_what_a_run_left_is_shown(api_on_each: Api) -> None:
    api = api_on_each
    failure = {"stage": "adapt", "code": "data_refused", "message": "m", "retryable": False}
    with api.session() as session, session.begin():
        job = make_job(
            session,
            state=JobState.FAILED,
            stage="adapt",
            progress={"done": 1, "total": 2, "unit": "steps", "eta_s": None},
            error=failure,
            attempts=1,
        )
        make_stage(session, job, position=1, stage="adapt", state="running", done=1, total=2)
        make_stage(session, job, position=0, stage="resolve", state="done", source="computed")
        make_layer(session, job)
        make_metric(session, job)
        make_metric(session, job, phase="finetuned", drop=0.01, drop_low=-0.01, drop_high=0.03)
        make_attempt(session, job, outcome="failed", detail="m")
        make_event(session, job, data={"level": "info", "message": "hello"})
    own = f"/v1/jobs/{job.id}"
    shown = api.get(own).json()
    assert shown["error"] == failure | {"hint": None, "pointer": None}
    assert shown["progress"]["done"] == 1

    def rows(noun: str) -> list[dict[str, Any]]:
        page = api.get(f"{own}/{noun}").json()
        assert page["object"] == "list"
        data: list[dict[str, Any]] = page["data"]
        return data

    assert [stage["stage"] for stage in rows("stages")] == ["resolve", "adapt"]
    (layer,) = rows("layers")
    assert (layer["rank"], layer["spectrum"]) == (2, [4.0, 3.0, 2.0, 1.0])
    dense, finetuned = rows("metrics")
    assert (dense["interval"], dense["drop_interval"]) == ([0.88, 0.92], None)
    assert finetuned["drop_interval"] == [-0.01, 0.03]
    (attempt,) = rows("attempts")
    assert attempt["outcome"] == "failed"
    (event,) = rows("events")
    assert (event["seq"], event["data"]["message"]) == (1, "hello")
    assert set(shown["links"]) == {"self", "artifacts", *JOB_NOUNS}


JOB_NOUNS = ("stages", "layers", "metrics", "changed-answers", "attempts", "events", "logs")


def test_events_come_in_pages_by_seq(api: Api) -> None:
    with api.session() as session, session.begin():
        job = make_job(session)
        for _ in range(5):
            make_event(session, job)
    route = f"/v1/jobs/{job.id}/events?limit=2"
    first = api.get(route).json()
    second = api.get(f"{route}&after={first['next_cursor']}").json()
    last = api.get(f"{route}&after={second['next_cursor']}").json()
    seqs = [[event["seq"] for event in page["data"]] for page in (first, second, last)]
    assert seqs == [[1, 2], [3, 4], [5]]
    assert (last["has_more"], last["next_cursor"]) == (False, None)


def test_a_queue_that_no_worker_serves_is_refused(api: Api) -> None:
    refused = api.post("/v1/jobs", api.recipe(queue="gpu"))
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert (error["pointer"], error["hint"]) == ("/queue", "one of: default")
    assert api.count(Job) == 0


def test_a_job_waits_in_the_queue_that_its_recipe_names(api: Api) -> None:
    api.app.state.settings = api.settings.model_copy(update={"offered_queues": ("gpu",)})
    job = api.post("/v1/jobs", api.recipe(queue="gpu")).json()
    with api.session() as session:
        assert session.get_one(Job, job["id"]).queue == "gpu"
