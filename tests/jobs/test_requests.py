import pytest
from sqlalchemy import select

from core.database.sessions import Sessions
from core.database.states import JobState, Requested
from core.database.tables import Job, JobEvent, JobStage, now
from core.jobs import requests
from core.jobs.errors import IllegalTransition, NotFound
from core.jobs.submission import submit
from core.jobs.transitions import move
from tests.factories import DEFAULT_PROJECT, make_inputs, make_job, make_project, make_recipe

ASKS = {
    "cancel": requests.cancel,
    "pause": requests.pause,
    "resume": requests.resume,
    "retry": requests.retry,
}
LEADS_TO = {
    ("queued", "cancel"): "cancelled",
    ("queued", "pause"): "paused",
    ("paused", "cancel"): "cancelled",
    ("paused", "resume"): "queued",
    ("running", "cancel"): "running",
    ("running", "pause"): "running",
    ("failed", "retry"): "queued",
    ("cancelled", "retry"): "queued",
}


@pytest.mark.parametrize("asked", ASKS)
@pytest.mark.parametrize("state", list(JobState))
def test_every_request_in_every_state(sessions: Sessions, state: JobState, asked: str) -> None:
    with sessions.begin() as session:
        job = make_job(session, state=state)
    expected = LEADS_TO.get((state.value, asked))
    with sessions.begin() as session:
        if expected is None:
            with pytest.raises(IllegalTransition):
                ASKS[asked](session, DEFAULT_PROJECT, job.id)
            assert session.scalars(select(JobEvent)).all() == []
        else:
            assert ASKS[asked](session, DEFAULT_PROJECT, job.id).state == expected


@pytest.mark.parametrize("asked", ASKS)
def test_another_projects_job_is_not_found(sessions: Sessions, asked: str) -> None:
    with sessions.begin() as session:
        job = make_job(session, project_id=make_project(session).id)
        for job_id in (job.id, "job_unknown"):
            with pytest.raises(NotFound):
                ASKS[asked](session, DEFAULT_PROJECT, job_id)


def test_a_running_job_is_asked_once_and_cancel_outranks_pause(sessions: Sessions) -> None:
    with sessions.begin() as session:
        job = make_job(session, state=JobState.RUNNING, epoch=1)
        for asked in (requests.pause, requests.pause, requests.cancel, requests.cancel):
            job = asked(session, DEFAULT_PROJECT, job.id)
        assert job.requested is Requested.CANCEL
        with pytest.raises(IllegalTransition):
            requests.pause(session, DEFAULT_PROJECT, job.id)
        kinds = session.scalars(select(JobEvent.type).order_by(JobEvent.seq)).all()
    assert kinds == ["job.pausing", "job.cancelling"]


def test_a_retry_forgets_the_end_but_not_the_epoch(sessions: Sessions) -> None:
    with sessions.begin() as session:
        job = make_job(
            session,
            state=JobState.FAILED,
            epoch=3,
            finished_epoch=3,
            crashes=3,
            error={"code": "worker_crashed"},
            rung_at=now(),
            finished_at=now(),
        )
        job = requests.retry(session, DEFAULT_PROJECT, job.id)
        assert (job.epoch, job.crashes, job.error, job.finished_at) == (3, 0, None, None)
        assert (job.rung_at, job.finished_epoch) == (None, None)


def test_a_submission_is_whole(sessions: Sessions) -> None:
    recipe = make_recipe(name="n", labels={"team": "a"}, limits={"max_runtime_s": 5}, queue="gpu")
    with sessions.begin() as session:
        job = submit(
            session,
            project_id=DEFAULT_PROJECT,
            recipe=recipe,
            inputs=make_inputs(),
            priority=3,
        )
    with sessions() as session:
        row = session.get_one(Job, job.id)
        stages = session.scalars(select(JobStage).order_by(JobStage.position)).all()
        event = session.scalars(select(JobEvent)).one()
    assert row.created_at == job.created_at
    assert (row.name, row.labels) == ("n", {"team": "a"})
    assert (row.priority, row.queue, row.recipe_hash) == (3, "gpu", recipe.hash)
    assert tuple(stage.stage for stage in stages) == recipe.method.stages
    assert {stage.state for stage in stages} == {"pending"}
    assert (event.seq, event.type, row.last_seq) == (1, "job.queued", 1)


def test_a_move_off_the_table_is_a_mistake_of_the_caller(sessions: Sessions) -> None:
    with sessions.begin() as session:
        job = make_job(session, state=JobState.SUCCEEDED)
        with pytest.raises(ValueError, match="no move from succeeded to queued"):
            move(session, JobState.SUCCEEDED, JobState.QUEUED, Job.id == job.id)
