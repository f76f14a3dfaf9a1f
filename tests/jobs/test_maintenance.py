import multiprocessing
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis
from sqlalchemy import select, update

from core.database.clock import database_now
from core.database.sessions import Sessions, make_engine, make_sessions
from core.database.states import JobState, Requested
from core.database.tables import Job, JobAttempt, JobEvent, JobStage
from core.jobs.doorbell import ENOUGH_RINGS, Doorbell
from core.jobs.maintenance import Maintenance, dispatch, reap
from core.settings import Settings
from tests.factories import make_attempt, make_job, make_stage


@pytest.fixture
def redis(valkey: str) -> Iterator[Redis]:
    with Redis(unix_socket_path=valkey.removeprefix("redis+socket://")) as client:
        client.flushall()
        yield client
        client.flushall()


def rings(redis: Redis, queue: str = "default") -> int:
    count: int = redis.llen(queue)
    return count


@pytest.mark.parametrize(
    ("requested", "crashes", "state"),
    [
        (None, 0, JobState.QUEUED),
        (None, 1, JobState.QUEUED),
        (None, 2, JobState.FAILED),
        (Requested.CANCEL, 0, JobState.CANCELLED),
        (Requested.CANCEL, 2, JobState.CANCELLED),
        (Requested.PAUSE, 0, JobState.PAUSED),
        (Requested.PAUSE, 2, JobState.PAUSED),
    ],
)
def test_where_a_job_goes_whose_lease_ran_out(
    sessions: Sessions, requested: Requested | None, crashes: int, state: JobState
) -> None:
    with sessions.begin() as session:
        job = make_job(
            session,
            state=JobState.RUNNING,
            epoch=4,
            owner="gone",
            stage="factorize",
            requested=requested,
            crashes=crashes,
            lease_until=database_now(-1),
        )
        make_attempt(session, job, epoch=4)
        make_stage(session, job, state="running")
    assert reap(sessions) == {job.id: state}
    with sessions() as session:
        row = session.get_one(Job, job.id)
        attempt = session.get_one(JobAttempt, (job.id, 4))
        event = session.scalars(select(JobEvent)).one()
        stage = session.get_one(JobStage, (job.id, "resolve"))
    assert (row.state, row.crashes, row.epoch) == (state, crashes + 1, 4)
    assert (row.owner, row.lease_until, row.requested) == (None, None, None)
    assert (attempt.outcome, stage.state) == ("lease_lost", "pending")
    assert attempt.ended_at is not None
    assert event.type == f"job.{state}"
    if state == JobState.FAILED:
        assert row.error is not None
        assert (row.error["code"], row.error["stage"]) == ("worker_crashed", "factorize")
        assert row.finished_at is not None


def test_a_living_lease_is_left_alone(sessions: Sessions) -> None:
    with sessions.begin() as session:
        make_job(session, state=JobState.RUNNING, lease_until=database_now(5))
        make_job(session)
    assert reap(sessions) == {}


def test_reapers_at_once_take_a_job_once(sessions: Sessions) -> None:
    with sessions.begin() as session:
        for _ in range(10):
            make_job(session, state=JobState.RUNNING, epoch=1, lease_until=database_now(-1))
    with ThreadPoolExecutor(4) as pool:
        reaped = list(pool.map(lambda _: reap(sessions), range(4)))
    assert sum(map(len, reaped)) == 10
    with sessions() as session:
        assert set(session.scalars(select(Job.crashes))) == {1}


def test_waiting_rows_are_rung_for_and_again_after_a_while(
    sessions: Sessions, settings: Settings, redis: Redis
) -> None:
    with sessions.begin() as session:
        make_job(session)
        make_job(session, queue="gpu")
        make_job(session, state=JobState.RUNNING)
        make_job(session, not_before=database_now(60))
    doorbell = Doorbell(settings)
    assert dispatch(sessions, doorbell, 60.0) == 2
    assert (rings(redis), rings(redis, "gpu")) == (1, 1)
    assert dispatch(sessions, doorbell, 60.0) == 0
    redis.flushall()
    with sessions.begin() as session:
        session.execute(update(Job).values(rung_at=database_now(-61)))
    assert dispatch(sessions, doorbell, 60.0) == 2
    assert (rings(redis), rings(redis, "gpu")) == (1, 1)


def test_a_ring_that_fails_is_tried_again_at_once(sessions: Sessions, settings: Settings) -> None:
    with sessions.begin() as session:
        make_job(session)
    away = Doorbell(settings.model_copy(update={"redis_url": "redis+socket:///nowhere.sock"}))
    assert dispatch(sessions, away, 60.0) == 0
    with sessions() as session:
        assert session.scalars(select(Job.rung_at)).one() is None


def test_a_broker_that_is_away_delays_a_ring_by_a_second_at_most(settings: Settings) -> None:
    away = Doorbell(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    started = time.monotonic()
    assert away.ring("default") is False
    assert time.monotonic() - started < 1.5


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_bells_do_not_pile_up(sessions: Sessions, settings: Settings, redis: Redis) -> None:
    doorbell = Doorbell(settings)
    assert all(doorbell.ring("default") for _ in range(3 * ENOUGH_RINGS))
    assert rings(redis) == ENOUGH_RINGS


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_thread_does_it_all_until_it_is_stopped(
    sessions: Sessions, settings: Settings, redis: Redis
) -> None:
    with sessions.begin() as session:
        job = make_job(session, state=JobState.RUNNING, epoch=1, lease_until=database_now(-1))
    maintenance = Maintenance(settings)
    maintenance.start()
    deadline = time.monotonic() + 20
    while rings(redis) == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    maintenance.stop()
    assert not maintenance.is_alive()
    assert rings(redis) == 1
    with sessions() as session:
        assert session.get_one(Job, job.id).state == JobState.QUEUED


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_fork_never_happens_in_the_middle_of_a_round(
    sessions: Sessions, settings: Settings, redis: Redis
) -> None:
    """A child that inherits SQLite at work finds the database locked by itself."""
    with sessions.begin() as session:
        for _ in range(5):
            make_job(session)
    sessions.kw["bind"].dispose()
    maintenance = Maintenance(settings.model_copy(update={"reaper_s": 0.001, "ring_again_s": 0.0}))
    maintenance.start()
    children = []
    for _ in range(20):
        child = multiprocessing.get_context("fork").Process(target=write_quickly, args=(settings,))
        child.start()
        children.append(child)
        time.sleep(0.02)
    for child in children:
        child.join(20)
    maintenance.stop()
    assert [child.exitcode for child in children] == [0] * len(children)


def write_quickly(settings: Settings) -> None:
    signal.alarm(15)
    engine = make_engine(settings)
    with make_sessions(engine).begin() as session:
        make_job(session, state=JobState.PAUSED)
