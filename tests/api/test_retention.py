"""The policy and its dry run."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from api.retention.service import store
from core.database.sessions import Sessions
from core.database.states import JobState
from core.database.tables import Artifact, Retention, now
from core.jobs.dropping import drop_artifacts
from core.jobs.retention import Policy
from tests.api.conftest import Api
from tests.factories import DEFAULT_PROJECT, make_artifact, make_cache_entry, make_event, make_job

ROUTE = "/v1/retention"


def put(api: Api, body: Any) -> Any:
    return api.http.put(ROUTE, json=body, headers=api.headers)


def finished(api: Api, *, days: float, **columns: Any) -> str:
    with api.session() as session, session.begin():
        ended = now() - timedelta(days=days)
        values = {"state": JobState.SUCCEEDED, "artifact_prefix": "jobs/any/e1"} | columns
        job = make_job(session, finished_at=ended, **values)
        make_artifact(session, job, bytes=1000)
        make_artifact(session, job, name="config.json", bytes=24)
        make_event(session, job, type="stage.progress")
        return job.id


def test_without_a_policy_nothing_goes_but_workspaces(api: Api) -> None:
    assert api.get(ROUTE).json() == {
        "object": "retention",
        "artifacts_days": None,
        "events_days": None,
        "workspaces_days": 1,
        "cache_days": None,
    }
    finished(api, days=999)
    found = api.get(f"{ROUTE}/preview").json()
    assert found["artifacts"] == {"count": 0, "bytes": 0}
    assert found["jobs"] == []


def test_the_dry_run_tells_what_another_policy_would_drop(api_on_each: Api) -> None:
    api = api_on_each
    old, _ = finished(api, days=40, name="old"), finished(api, days=20)
    with api.session() as session, session.begin():
        make_cache_entry(session, bytes=77, used_at=now() - timedelta(days=50))
        failed = make_job(session, state=JobState.FAILED, finished_at=now() - timedelta(hours=9)).id
    workspace = api.settings.workspaces_dir / failed
    workspace.mkdir(parents=True)
    (workspace / "checkpoint").write_bytes(b"12345")
    asked = {"artifacts_days": 30, "events_days": 10, "workspaces_days": 0.25, "cache_days": 49}
    found = api.get(f"{ROUTE}/preview", params=asked).json()
    assert found["policy"] == {"object": "retention"} | asked
    assert found["artifacts"] == {"count": 1, "bytes": 1024}
    assert found["events"] == {"count": 2}
    assert found["workspaces"] == {"count": 1, "bytes": 5}
    assert found["cache"] == {"count": 1, "bytes": 77}
    assert [(job["id"], job["name"], job["bytes"]) for job in found["jobs"]] == [(old, "old", 1024)]
    assert api.count(Artifact) == 4


def test_a_policy_is_set_as_a_whole(api: Api) -> None:
    assert put(api, {"artifacts_days": 90, "events_days": 1.5}).json()["events_days"] == 1.5
    stored = put(api, {"cache_days": 7}).json()
    assert stored == api.get(ROUTE).json()
    assert (stored["artifacts_days"], stored["cache_days"]) == (None, 7)
    stranger = api.as_project("prj_other")
    assert stranger.get(ROUTE).json()["cache_days"] is None


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"artifacts_days": 0}, "/artifacts_days"),
        ({"events_days": -1}, "/events_days"),
        ({"cache_days": 1e9}, "/cache_days"),
        ({"workspaces_days": None}, "/workspaces_days"),
        ({"artifact_days": 3}, "/artifact_days"),
        ({"artifacts_days": "90"}, "/artifacts_days"),
    ],
)
def test_a_bad_policy_is_refused_by_field(api: Api, body: Any, pointer: str) -> None:
    refused = put(api, body)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
    assert api.get(ROUTE).json()["artifacts_days"] is None


def test_a_dropped_artifact_is_gone_and_said_to_be(api: Api) -> None:
    job = finished(api, days=40)
    put(api, {"artifacts_days": 30})
    assert drop_artifacts(api.app.state.sessions, api.app.state.storage) == [job]
    shown = api.get(f"/v1/jobs/{job}").json()
    assert shown["artifact_dropped_at"] is not None
    assert shown["status"] == "succeeded"
    assert api.get(f"/v1/jobs/{job}/artifacts").json()["data"] == []
    gone = api.get(f"/v1/jobs/{job}/artifacts/config.json/content")
    assert (gone.status_code, gone.json()["code"]) == (410, "artifact_gone")
    assert "dropped on" in gone.json()["detail"]


def test_policies_that_are_set_at_once_do_not_collide(sessions: Sessions) -> None:
    def set_to(days: int) -> None:
        with sessions.begin() as session:
            store(session, DEFAULT_PROJECT, Policy(artifacts_days=days))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(set_to, range(1, 33)))
    with sessions() as session:
        assert session.scalars(select(func.count()).select_from(Retention)).one() == 1
