"""A queue takes exactly as many jobs as it may hold, whatever comes at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from core.database.sessions import Sessions
from core.database.states import JobState
from core.database.tables import Job
from core.jobs import requests
from core.jobs.errors import QueueFull
from core.jobs.submission import submit
from tests.factories import DEFAULT_PROJECT, make_inputs, make_job, make_project, make_recipe

THREADS = 50


def submitted(sessions: Sessions, limit: int, project_id: str = DEFAULT_PROJECT) -> bool:
    try:
        with sessions.begin() as session:
            submit(
                session,
                project_id=project_id,
                recipe=make_recipe(),
                inputs=make_inputs(),
                max_queued=limit,
            )
    except QueueFull:
        return False
    return True


def jobs_in(sessions: Sessions, *states: JobState) -> int:
    with sessions() as session:
        query = select(func.count()).select_from(Job).where(Job.state.in_(states))
        return session.scalars(query).one()


def test_of_many_submissions_at_once_exactly_the_limit_is_taken(sessions: Sessions) -> None:
    with sessions.begin() as session:
        for state in (JobState.PAUSED, JobState.RUNNING, JobState.SUCCEEDED, JobState.FAILED):
            make_job(session, state=state)
    with ThreadPoolExecutor(THREADS) as pool:
        taken = list(pool.map(lambda _: submitted(sessions, limit=20), range(2 * THREADS)))
    assert sum(taken) == 19
    assert jobs_in(sessions, JobState.QUEUED, JobState.PAUSED) == 20


def test_of_many_retries_at_once_exactly_the_limit_is_taken(sessions: Sessions) -> None:
    with sessions.begin() as session:
        ids = [make_job(session, state=JobState.FAILED).id for _ in range(THREADS)]

    def retried(job_id: str) -> bool:
        try:
            with sessions.begin() as session:
                requests.retry(session, DEFAULT_PROJECT, job_id, max_queued=7)
        except QueueFull:
            return False
        return True

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(retried, ids)) == 7
    assert jobs_in(sessions, JobState.QUEUED) == 7


def test_each_project_has_its_own_limit_and_0_is_none(sessions: Sessions) -> None:
    with sessions.begin() as session:
        other = make_project(session).id
    assert [submitted(sessions, 1) for _ in range(2)] == [True, False]
    assert submitted(sessions, 1, other)
    assert all(submitted(sessions, 0) for _ in range(3))


@pytest.mark.parametrize("asked", [requests.cancel, requests.pause])
def test_there_is_room_again_when_a_job_is_gone(sessions: Sessions, asked: object) -> None:
    assert submitted(sessions, 1)
    with sessions.begin() as session:
        job = session.scalars(select(Job)).one()
        asked(session, DEFAULT_PROJECT, job.id)  # type: ignore[operator]
    assert submitted(sessions, 1) == (asked is requests.cancel)
