"""One attempt against a real process that speaks the runner's protocol."""

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from core.database.sessions import Sessions
from core.database.states import JobState
from core.database.tables import Artifact, Job, JobAttempt, JobEvent, JobStage
from core.jobs import requests
from core.storage.local import LocalStorage
from tests.factories import DEFAULT_PROJECT
from tests.worker.conftest import Submit
from tests.worker.processes import runner_of, runners_of

Supervise = Callable[[], JobState | None]


def row_of(sessions: Sessions, job: Job) -> Job:
    with sessions() as session:
        return session.scalars(select(Job).where(Job.id == job.id)).one()


def attempts_of(sessions: Sessions, job: Job) -> list[JobAttempt]:
    query = select(JobAttempt).where(JobAttempt.job_id == job.id).order_by(JobAttempt.epoch)
    with sessions() as session:
        return list(session.scalars(query))


def events_of(sessions: Sessions, job: Job) -> list[JobEvent]:
    query = select(JobEvent).where(JobEvent.job_id == job.id).order_by(JobEvent.seq)
    with sessions() as session:
        return list(session.scalars(query))


def meanwhile(action: Callable[[], Any], *, after_s: float) -> threading.Thread:
    def wait_and_act() -> None:
        time.sleep(after_s)
        action()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    return thread


def test_a_run_that_succeeds_is_published_whole(
    submit_script: Submit, supervise: Supervise, sessions: Sessions, storage: LocalStorage
) -> None:
    job = submit_script("progress:5:0.01 succeed")
    assert supervise() == JobState.SUCCEEDED
    row = row_of(sessions, job)
    assert row.artifact_prefix == f"jobs/{job.id}/e1"
    assert row.result == {"attempt": 1}
    assert row.finished_epoch == 1
    assert row.owner is None
    assert row.lease_until is None
    with sessions() as session:
        files = session.scalars(select(Artifact).where(Artifact.job_id == job.id)).all()
        stage = session.get_one(JobStage, (job.id, "resolve"))
    assert sorted(file.name for file in files) == ["model.safetensors", "sub/config.json"]
    assert storage.open(f"{row.artifact_prefix}/model.safetensors").read() == b"weights" * 1000
    assert (stage.state, stage.done, stage.total, stage.source) == ("done", 5, 5, "computed")
    assert [attempt.outcome for attempt in attempts_of(sessions, job)] == ["succeeded"]


def test_the_history_has_no_holes_and_says_what_happened(
    submit_script: Submit, supervise: Supervise, sessions: Sessions
) -> None:
    job = submit_script("progress:50:0.01 succeed")
    supervise()
    events = events_of(sessions, job)
    assert [event.seq for event in events] == list(range(1, row_of(sessions, job).last_seq + 1))
    progress = [event.data["done"] for event in events if event.type == "stage.progress"]
    assert progress[-1] == 50
    assert len(progress) <= 4
    kinds = [event.type for event in events if event.type != "stage.progress"]
    assert kinds == [
        "job.queued",
        "job.running",
        "runner.ready",
        "stage.started",
        "stage.finished",
        "artifact.ready",
        "job.succeeded",
    ]


def test_a_run_that_fails_says_where_and_why(
    submit_script: Submit, supervise: Supervise, sessions: Sessions
) -> None:
    job = submit_script("fail")
    assert supervise() == JobState.FAILED
    error = row_of(sessions, job).error
    assert error is not None
    assert error["code"] == "budget_below_floor"
    assert error["stage"] == "plan"
    assert error["hint"] == "more"


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        ("crash", "the runner was killed by SIGKILL"),
        ("exit:5", "the runner exited with 5 before its run was over"),
        ("babble", "the runner wrote a line that is no event: b'this is no event'"),
    ],
)
def test_a_crash_is_queued_again_and_fails_at_the_third(
    submit_script: Submit, supervise: Supervise, sessions: Sessions, script: str, detail: str
) -> None:
    job = submit_script(script)
    assert [supervise() for _ in range(3)] == [JobState.QUEUED, JobState.QUEUED, JobState.FAILED]
    row = row_of(sessions, job)
    assert row.crashes == 3
    assert row.error is not None
    assert row.error["code"] == "worker_crashed"
    assert detail in row.error["message"]
    assert [attempt.outcome for attempt in attempts_of(sessions, job)] == ["crashed"] * 3


def test_an_attempt_after_a_crash_goes_on_and_succeeds(
    submit_script: Submit, supervise: Supervise, sessions: Sessions
) -> None:
    job = submit_script("progress:3:0.01 once:crash succeed")
    assert supervise() == JobState.QUEUED
    assert supervise() == JobState.SUCCEEDED
    row = row_of(sessions, job)
    assert (row.epoch, row.crashes, row.result) == (2, 1, {"attempt": 2})
    assert row.artifact_prefix == f"jobs/{job.id}/e2"


@pytest.mark.parametrize(
    ("ask", "state"), [(requests.cancel, JobState.CANCELLED), (requests.pause, JobState.PAUSED)]
)
def test_a_request_stops_the_run(
    submit_script: Submit,
    supervise: Supervise,
    sessions: Sessions,
    ask: Callable[..., Job],
    state: JobState,
) -> None:
    job = submit_script("hang")

    def ask_it() -> None:
        with sessions.begin() as session:
            ask(session, DEFAULT_PROJECT, job.id)

    asking = meanwhile(ask_it, after_s=0.5)
    assert supervise() == state
    asking.join()
    row = row_of(sessions, job)
    assert (row.requested, row.crashes) == (None, 0)
    assert [attempt.outcome for attempt in attempts_of(sessions, job)] == [state.value]


def test_a_runner_that_does_not_stop_is_killed(
    submit_script: Submit,
    supervise: Supervise,
    sessions: Sessions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.attempt.STOP_PATIENCE_S", 0.5)
    job = submit_script("deaf")

    def cancel() -> None:
        with sessions.begin() as session:
            requests.cancel(session, DEFAULT_PROJECT, job.id)

    asking = meanwhile(cancel, after_s=0.5)
    started = time.monotonic()
    assert supervise() == JobState.CANCELLED
    asking.join()
    assert time.monotonic() - started < 4


@pytest.mark.parametrize("script", ["hang", "deaf"])
def test_a_closing_worker_hands_the_job_over(
    submit_script: Submit,
    supervise: Supervise,
    sessions: Sessions,
    shutdown: tuple[int, Callable[[], None]],
    script: str,
) -> None:
    job = submit_script(script)
    closing = meanwhile(shutdown[1], after_s=0.5)
    started = time.monotonic()
    assert supervise() == JobState.QUEUED
    closing.join()
    assert time.monotonic() - started < 4
    assert row_of(sessions, job).crashes == 0
    assert [attempt.outcome for attempt in attempts_of(sessions, job)] == ["handed_over"]


def test_a_run_past_its_time_fails(
    submit_script: Submit, supervise: Supervise, sessions: Sessions
) -> None:
    job = submit_script("progress:1:0 deaf", max_runtime_s=1)
    assert supervise() == JobState.FAILED
    error = row_of(sessions, job).error
    assert error is not None
    assert (error["code"], error["stage"]) == ("max_runtime_exceeded", "resolve")


def test_a_fenced_supervisor_kills_its_runner_and_changes_nothing(
    submit_script: Submit, supervise: Supervise, sessions: Sessions
) -> None:
    job = submit_script("progress:1000:0.02 succeed")

    def another_takes_it() -> None:
        with sessions.begin() as session:
            session.execute(update(Job).values(epoch=Job.epoch + 1, owner="another"))

    taking = meanwhile(another_takes_it, after_s=0.6)
    assert supervise() is None
    taking.join()
    row = row_of(sessions, job)
    assert (row.state, row.epoch, row.owner) == (JobState.RUNNING, 2, "another")
    assert max(event.epoch for event in events_of(sessions, job)) == 1
    assert not runners_of(job.id)


def test_killing_the_runner_costs_one_crash_and_nothing_else(
    submit_script: Submit, supervise: Supervise, sessions: Sessions, storage: LocalStorage
) -> None:
    job = submit_script("progress:20:0.05 succeed")

    def kill_runner() -> None:
        os.kill(runner_of(job.id), signal.SIGKILL)

    killing = meanwhile(kill_runner, after_s=0.5)
    assert supervise() == JobState.QUEUED
    killing.join()
    assert supervise() == JobState.SUCCEEDED
    assert row_of(sessions, job).crashes == 1
    assert list(storage.list_prefix(f"jobs/{job.id}")) == [
        f"jobs/{job.id}/e2/model.safetensors",
        f"jobs/{job.id}/e2/sub/config.json",
    ]
