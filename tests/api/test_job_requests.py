"""What may be asked of a job: pause, resume, retry, cancel, change, delete; on both databases."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from api.jobs import service
from core.database.states import FINISHED, JobState, Requested
from core.database.tables import Job, JobEvent, Table
from core.errors import ModelError
from core.jobs import requests
from core.jobs.claims import Claim, claim_next
from core.jobs.finishing import stand_down
from core.jobs.workspaces import WorkspaceLock
from core.recipe.sources import JobModel
from tests.api.conftest import Api
from tests.factories import (
    DEFAULT_PROJECT,
    make_artifact,
    make_attempt,
    make_event,
    make_job,
    make_layer,
    make_metric,
    make_recipe,
    make_stage,
)


def made(api: Api, state: JobState = JobState.QUEUED, **values: Any) -> str:
    """The address of a job in this state."""
    with api.session() as session, session.begin():
        return f"/v1/jobs/{make_job(session, state=state, **values).id}"


def row_of(api: Api, route: str) -> Job:
    with api.session() as session:
        return session.get_one(Job, route.split("/")[-1])


ALLOWED: dict[tuple[JobState, Requested | None], list[str]] = {
    (JobState.QUEUED, None): ["cancel", "pause"],
    (JobState.RUNNING, None): ["cancel", "pause"],
    (JobState.RUNNING, Requested.PAUSE): ["cancel", "pause"],
    (JobState.RUNNING, Requested.CANCEL): ["cancel"],
    (JobState.PAUSED, None): ["cancel", "resume"],
    (JobState.FAILED, None): ["retry", "delete"],
    (JobState.CANCELLED, None): ["retry", "delete"],
    (JobState.SUCCEEDED, None): ["delete"],
}
SHOWN = {Requested.PAUSE: "pausing", Requested.CANCEL: "cancelling"}


@pytest.mark.parametrize(("state", "requested"), ALLOWED)
def test_a_refusal_names_the_state_and_what_it_allows(
    api_on_each: Api, state: JobState, requested: Requested | None
) -> None:
    api, allowed = api_on_each, ALLOWED[state, requested]
    for verb in ("cancel", "pause", "resume", "retry", "delete"):
        route = made(api, state, requested=requested, epoch=1)
        answer = api.delete(route) if verb == "delete" else api.post(f"{route}/{verb}")
        if verb in allowed:
            assert answer.status_code == (204 if verb == "delete" else 202), verb
            continue
        problem = answer.json()
        shown = SHOWN[requested] if requested else state.value
        assert (answer.status_code, problem["code"]) == (409, "illegal_transition"), verb
        assert (problem["state"], problem["allowed"]) == (shown, allowed)
        assert shown in problem["detail"]
        assert all(other in problem["detail"] for other in allowed)
        assert row_of(api, route).state == state


def test_a_queued_job_is_paused_at_once_and_resumed(
    api_on_each: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = api_on_each
    route = api.post("/v1/jobs", api.recipe()).json()["links"]["self"]
    paused = api.post(f"{route}/pause")
    assert (paused.status_code, paused.json()["status"]) == (202, "paused")
    with api.session() as session, session.begin():
        assert claim_next(session, "default", "host:1", 60) is None
    rings: list[tuple[str, JobState]] = []
    monkeypatch.setattr(
        api.app.state.doorbell,
        "ring",
        lambda queue: rings.append((queue, row_of(api, route).state)),
    )
    resumed = api.post(f"{route}/resume")
    assert (resumed.status_code, resumed.json()["status"]) == (202, "queued")
    assert rings == [("default", JobState.QUEUED)]
    types = [event["type"] for event in api.get(f"{route}/events").json()["data"]]
    assert types == ["job.queued", "job.paused", "job.queued"]


def test_a_cancel_wins_over_a_pause(api_on_each: Api) -> None:
    api = api_on_each
    route = made(api, JobState.RUNNING, epoch=1)
    assert api.post(f"{route}/pause").json()["status"] == "pausing"
    assert api.post(f"{route}/cancel").json()["status"] == "cancelling"
    assert api.post(f"{route}/pause").status_code == 409
    with api.session() as session, session.begin():
        stand_down(session, Claim(route.split("/")[-1], 1))
    assert api.get(route).json()["status"] == "cancelled"


def test_a_retry_is_the_same_job_in_a_new_attempt(api_on_each: Api) -> None:
    api = api_on_each
    error = {"code": "worker_crashed", "message": "m", "stage": "adapt"}
    route = made(api, JobState.FAILED, epoch=3, attempts=3, crashes=3, error=error)
    retried = api.post(f"{route}/retry")
    assert retried.status_code == 202
    job = retried.json()
    assert (job["status"], job["crashes"], job["error"]) == ("queued", 0, None)
    with api.session() as session, session.begin():
        claimed = claim_next(session, "default", "host:1", 60)
    assert claimed is not None
    assert (claimed.claim.job_id, claimed.claim.epoch) == (job["id"], 4)
    assert api.get(route).json()["attempts"] == 4


def test_the_bell_rings_at_the_jobs_own_queue_and_once(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    rings: list[str] = []
    monkeypatch.setattr(api.app.state.doorbell, "ring", lambda queue: rings.append(queue))
    route = made(api, JobState.CANCELLED, queue="gpu")
    for _ in range(2):
        assert api.post(f"{route}/retry", **{"Idempotency-Key": "k"}).status_code == 202
    assert api.post(f"{route}/retry").status_code == 409
    assert rings == ["gpu"]


@pytest.mark.parametrize(
    ("verb", "state"),
    [
        ("pause", JobState.QUEUED),
        ("resume", JobState.PAUSED),
        ("retry", JobState.FAILED),
        ("cancel", JobState.PAUSED),
    ],
)
def test_requests_are_replayed(api_on_each: Api, verb: str, state: JobState) -> None:
    api = api_on_each
    route, key = made(api, state), {"Idempotency-Key": verb}
    first, again = (api.post(f"{route}/{verb}", **key) for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert api.count(JobEvent) == 1
    assert api.post(f"{route}/{verb}").status_code == 409
    assert api.post(f"{made(api, state)}/{verb}", **key).status_code == 422


def test_fields_are_changed_by_merge(api_on_each: Api) -> None:
    api = api_on_each
    recipe = api.recipe(name="first", labels={"team": "search", "env": "test"})
    route = api.post("/v1/jobs", recipe).json()["links"]["self"]
    changed = api.patch(route, {"labels": {"team": None, "owner": "ann"}})
    assert changed.status_code == 200
    assert changed.json()["labels"] == {"env": "test", "owner": "ann"}
    assert (changed.json()["name"], changed.json()["priority"]) == ("first", 0)
    both = api.patch(
        route,
        {"name": "second", "priority": -7},
        **{"Content-Type": "application/merge-patch+json"},
    )
    assert (both.json()["name"], both.json()["priority"]) == ("second", -7)
    assert both.json() == api.get(route).json()
    cleared = api.patch(route, {"name": None, "labels": None, "priority": None}).json()
    assert (cleared["name"], cleared["labels"], cleared["priority"]) == ("", {}, 0)
    assert cleared["recipe"]["name"] == "first"
    events = api.get(f"{route}/events").json()["data"]
    assert [event["type"] for event in events] == ["job.queued", *["job.changed"] * 3]
    assert events[2]["data"] == {"name": "second", "priority": -7}


def test_a_change_that_changes_nothing_leaves_no_event(api: Api) -> None:
    route = made(api, name="n")
    assert api.patch(route, {"name": "n"}).status_code == 200
    assert api.patch(route, {}).status_code == 200
    assert api.count(JobEvent) == 0


def test_a_changed_priority_counts_for_the_next_claim(
    api_on_each: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = api_on_each
    older, newer = made(api), made(api)
    rings: list[int] = []
    monkeypatch.setattr(
        api.app.state.doorbell, "ring", lambda queue: rings.append(row_of(api, newer).priority)
    )
    assert api.patch(newer, {"priority": 1}).json()["priority"] == 1
    assert rings == [1]
    with api.session() as session, session.begin():
        claimed = claim_next(session, "default", "host:1", 60)
    assert claimed is not None
    assert newer.endswith(claimed.claim.job_id)
    assert row_of(api, older).state == JobState.QUEUED


@pytest.mark.parametrize("state", sorted(FINISHED))
def test_the_priority_of_a_finished_job_is_fixed(api_on_each: Api, state: JobState) -> None:
    api = api_on_each
    route = made(api, state, priority=3)
    refused = api.patch(route, {"priority": 4, "name": "other"})
    assert (refused.status_code, refused.json()["code"]) == (409, "field_fixed")
    assert refused.json()["state"] == state
    assert refused.json()["errors"][0]["pointer"] == "/priority"
    assert row_of(api, route).name == ""
    assert api.patch(route, {"priority": 3, "name": "other"}).json()["name"] == "other"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"state": "queued"}, "/state"),
        ({"name": 5}, "/name"),
        ({"name": "x" * 201}, "/name"),
        ({"priority": "1"}, "/priority"),
        ({"priority": 1.5}, "/priority"),
        ({"priority": 101}, "/priority"),
        ({"labels": ["a"]}, "/labels"),
        ({"labels": {"team": 5}}, "/labels/team"),
        ({"labels": {f"k{n}": "v" for n in range(33)}}, "/labels"),
        ([], ""),
    ],
)
def test_a_bad_change_is_refused_by_field(api: Api, body: Any, pointer: str) -> None:
    route = made(api, name="n", labels={"a": "b"})
    refused = api.patch(route, body)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == pointer
    assert (row_of(api, route).name, row_of(api, route).labels) == ("n", {"a": "b"})
    assert api.patch(route, b"{").status_code == 400
    assert api.patch(route, {}, **{"Content-Type": "text/plain"}).status_code == 415


def whole_job(api: Api, tmp_path: Path, **values: Any) -> str:
    """A succeeded job with a row in every table, a file in storage and a workspace."""
    source = tmp_path / "source"
    source.write_bytes(b"weights")
    with api.session() as session, session.begin():
        job = make_job(session, **({"state": JobState.SUCCEEDED, "epoch": 1} | values))
        for make in (make_attempt, make_stage, make_event, make_layer, make_metric):
            make(session, job)
        file = make_artifact(session, job, bytes=7)
        api.app.state.storage.put_file(file.storage_key, source)
        api.app.state.storage.put_file(f"jobs/{job.id}/e0/unpublished", source)
    workspace = api.settings.workspaces_dir / job.id
    workspace.mkdir(parents=True)
    (workspace / "runner.log").write_text("x")
    return f"/v1/jobs/{job.id}"


def rows_of_jobs(api: Api) -> int:
    tables = [table for table in Table.__subclasses__() if hasattr(table, "job_id")]
    assert len(tables) >= 6
    with api.session() as session:
        counts = [session.scalar(select(func.count()).select_from(table)) for table in tables]
    return sum(count or 0 for count in counts)


def test_a_deleted_job_leaves_nothing(api_on_each: Api, tmp_path: Path) -> None:
    api = api_on_each
    route = whole_job(api, tmp_path)
    before = rows_of_jobs(api)
    assert before >= 6
    assert api.delete(route).status_code == 204
    assert (rows_of_jobs(api), api.count(Job), api.stored_files()) == (0, 0, [])
    assert list(api.settings.workspaces_dir.glob("job_*")) == []
    for again in (api.delete(route), api.get(route), api.post(f"{route}/retry")):
        assert (again.status_code, again.json()["code"]) == (404, "not_found")


def test_a_workspace_with_a_runner_in_it_is_left_alone(api: Api, tmp_path: Path) -> None:
    route = whole_job(api, tmp_path, state=JobState.CANCELLED)
    workspace = api.settings.workspaces_dir / route.split("/")[-1]
    with WorkspaceLock(workspace):
        assert api.delete(route).status_code == 204
        assert workspace.exists()


def test_a_job_whose_result_is_being_compressed_stays(api_on_each: Api, tmp_path: Path) -> None:
    api = api_on_each
    route = whole_job(api, tmp_path)
    recipe = make_recipe(model={"type": "job", "id": route.split("/")[-1]})
    reader = made(api, recipe=recipe.model_dump(mode="json"))
    refused = api.delete(route)
    assert (refused.status_code, refused.json()["code"]) == (409, "job_in_use")
    assert reader.split("/")[-1] in refused.json()["detail"]
    api.post(f"{reader}/cancel")
    assert api.delete(route).status_code == 204


def test_a_source_that_was_deleted_meanwhile_is_refused(api_on_each: Api) -> None:
    source = JobModel(id=made(api_on_each, JobState.SUCCEEDED).split("/")[-1])
    with api_on_each.session() as session, session.begin():
        service._hold_source_job(session, source)
        requests.delete(session, DEFAULT_PROJECT, source.id)
        with pytest.raises(ModelError) as refused:
            service._hold_source_job(session, source)
    assert refused.value.pointer == "/model/id"
