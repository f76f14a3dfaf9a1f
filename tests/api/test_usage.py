"""Usage is exact: jobs, seconds and parameters of a span, bytes of now; on both databases."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.database.states import JobState, Requested
from core.database.tables import UploadedModel, now
from tests.api.conftest import Api
from tests.factories import (
    DEFAULT_PROJECT,
    DIGEST,
    make_artifact,
    make_attempt,
    make_cache_entry,
    make_dataset,
    make_job,
)

START = datetime(2026, 5, 1, tzinfo=UTC)
END = datetime(2026, 6, 1, tzinfo=UTC)
SPAN = {"from": "2026-05-01T00:00:00Z", "to": "2026-06-01T02:00:00+02:00"}
INSIDE = datetime(2026, 5, 10, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def usage(api: Api, **span: str) -> dict[str, Any]:
    answer = api.get("/v1/usage", params=span or SPAN)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_an_unused_project_has_used_nothing(api_on_each: Api) -> None:
    found = usage(api_on_each)
    assert (found["start"], found["end"]) == ("2026-05-01T00:00:00Z", "2026-06-01T00:00:00Z")
    assert set(found["jobs"].values()) == {0}
    assert len(found["jobs"]) == 8
    assert (found["compute_seconds"], found["params_saved"]) == (0, 0)
    assert set(found["stored_bytes"].values()) == {0}


def test_jobs_are_counted_by_status_where_they_were_submitted_in_the_span(api_on_each: Api) -> None:
    api = api_on_each
    with api.session() as session, session.begin():
        for moment in (START, INSIDE, END - SECOND):
            make_job(session, created_at=moment)
        for moment in (START - SECOND, END):
            make_job(session, created_at=moment)
        running = {"state": JobState.RUNNING, "created_at": INSIDE}
        make_job(session, **running)
        make_job(session, **running, requested=Requested.CANCEL)
        make_job(session, state=JobState.FAILED, created_at=INSIDE)
    counts = {status: count for status, count in usage(api)["jobs"].items() if count}
    assert counts == {"queued": 3, "running": 1, "cancelling": 1, "failed": 1}


def test_seconds_of_attempts_are_cut_to_the_span(api_on_each: Api) -> None:
    api = api_on_each
    with api.session() as session, session.begin():
        job = make_job(session)
        attempts = [
            (START - 30 * SECOND, START + 12 * SECOND),
            (INSIDE, INSIDE + 100.25 * SECOND),
            (END - 7 * SECOND, END + 90 * SECOND),
            (START - 9 * SECOND, START - SECOND),
            (END, END + SECOND),
        ]
        for epoch, (started_at, ended_at) in enumerate(attempts, start=1):
            make_attempt(session, job, epoch=epoch, started_at=started_at, ended_at=ended_at)
    assert usage(api)["compute_seconds"] == pytest.approx(12 + 100.25 + 7, abs=2e-3)


def test_an_attempt_under_way_counts_until_now(api_on_each: Api) -> None:
    api = api_on_each
    with api.session() as session, session.begin():
        make_attempt(session, make_job(session), started_at=now() - 50 * SECOND)
    found = usage(api, **{"from": (now() - timedelta(days=1)).isoformat()})
    assert 50 <= found["compute_seconds"] < 60
    later = usage(api, to=(now() + timedelta(days=1)).isoformat())
    assert 50 <= later["compute_seconds"] < 60


def test_parameters_saved_are_those_of_jobs_that_succeeded_in_the_span(api_on_each: Api) -> None:
    api = api_on_each

    def sizes(before: int, after: int) -> dict[str, Any]:
        return {"params": {"model": {"before": before, "after": after}}}

    with api.session() as session, session.begin():
        done = {"state": JobState.SUCCEEDED, "finished_at": INSIDE}
        make_job(session, **done, result=sizes(7_000_000_000, 3_000_000_000))
        make_job(session, **done, result=sizes(100, 40))
        make_job(session, **done | {"finished_at": END}, result=sizes(1000, 1))
        make_job(session, state=JobState.FAILED, finished_at=INSIDE)
    assert usage(api)["params_saved"] == 4_000_000_060


def test_stored_bytes_are_those_of_now_and_of_this_project(api_on_each: Api) -> None:
    api = api_on_each
    stranger = api.as_project("prj_other")
    with api.session() as session, session.begin():
        for size in (100, 20):
            make_dataset(session, bytes=size)
        job = make_job(session)
        make_artifact(session, job, bytes=3_000_000_000)
        make_artifact(session, job, name="config.json", bytes=5)
        make_cache_entry(session, bytes=44)
        values = {"name": "m", "family": "bert", "params": 1, "digest": DIGEST, "files": []}
        model = {"id": "md_1", "bytes": 70, "storage_prefix": "models/md_1"}
        session.add(UploadedModel(project_id=DEFAULT_PROJECT, **values, **model))
    stored = {"datasets": 120, "models": 70, "artifacts": 3_000_000_005, "cache": 44}
    assert usage(api)["stored_bytes"] == stored
    assert set(usage(stranger)["stored_bytes"].values()) == {0}


def test_without_a_span_it_is_the_last_30_days(api: Api) -> None:
    found = usage(api, to=SPAN["to"])
    assert (found["start"], found["end"]) == ("2026-05-02T00:00:00Z", "2026-06-01T00:00:00Z")
    until_now = api.get("/v1/usage").json()
    assert abs(datetime.fromisoformat(until_now["end"]) - now()) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("span", "parameter"),
    [
        ({"from": "2026-05-02T00:00:00Z", "to": "2026-05-01T00:00:00Z"}, "from"),
        ({"from": "2026-05-01T00:00:00Z", "to": "2026-05-01T00:00:00Z"}, "from"),
        ({"from": "2026-05-01"}, "from"),
        ({"to": "2026-05-01T00:00:00"}, "to"),
        ({"to": "0001-01-02T00:00:00Z"}, "to"),
        ({"from": "9999-12-31T23:59:59-23:59"}, "from"),
    ],
)
def test_a_span_that_is_none_is_refused(api: Api, span: dict[str, str], parameter: str) -> None:
    refused = api.get("/v1/usage", params=span)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["parameter"] == parameter
