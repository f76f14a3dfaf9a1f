"""The real Celery worker, the real broker and real kills; only the runner follows a script.

However it is broken, each job ends in exactly one good artifact.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from core.database.sessions import Sessions, read_only
from core.database.states import JobState
from core.database.tables import Artifact, Job, JobAttempt, JobEvent
from core.embedded.broker import broker_command, wait_for_broker
from core.jobs.doorbell import Doorbell
from core.settings import REPOSITORY, Settings
from core.storage.local import LocalStorage
from tests.worker.conftest import Submit
from tests.worker.processes import children_of, runner_of

WORKER = Path(__file__).with_name("scripted_worker.py")
PATIENCE_S = 30.0

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Broker:
    """A broker of the test's own, to be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "run" / "valkey.sock"
        self._data = folder / "data"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(broker_command(self.socket, self._data))
        wait_for_broker(self.socket)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def broker() -> Iterator[Broker]:
    with tempfile.TemporaryDirectory(prefix="vk-") as folder:
        broker = Broker(Path(folder))
        yield broker
        broker.kill()


@pytest.fixture
def settings(settings: Settings, broker: Broker) -> Settings:
    return settings.model_copy(update={"redis_url": f"redis+socket://{broker.socket}"})


@pytest.fixture
def start_worker(settings: Settings, tmp_path: Path) -> Iterator[Callable[[], int]]:
    """Starts a Celery worker and tells its main process's id."""
    started: list[subprocess.Popen[bytes]] = []
    environment = os.environ | settings.as_environment() | {"PYTHONPATH": str(REPOSITORY)}

    def start() -> int:
        with (tmp_path / f"worker-{len(started)}.log").open("wb") as log:
            command = [sys.executable, str(WORKER)]
            started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        return started[-1].pid

    yield start
    for process in started:
        process.terminate()
    for process in started:
        process.wait(20)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def row_of(sessions: Sessions, job: Job) -> Job:
    with read_only(sessions)() as session:
        return session.scalars(select(Job).where(Job.id == job.id)).one()


def wait_for_state(sessions: Sessions, job: Job, state: JobState) -> None:
    wait_until(lambda: row_of(sessions, job).state == state)


def wait_for_progress(sessions: Sessions, job: Job) -> None:
    """The job is in the middle of its work."""
    wait_until(lambda: (row_of(sessions, job).progress or {}).get("done", 0) >= 3)


def assert_one_good_artifact(sessions: Sessions, storage: LocalStorage, job: Job) -> Job:
    row = row_of(sessions, job)
    assert row.artifact_prefix == f"jobs/{job.id}/e{row.finished_epoch}"
    assert storage.open(f"{row.artifact_prefix}/model.safetensors").read() == b"weights" * 1000
    with read_only(sessions)() as session:
        artifacts = session.scalars(select(Artifact).where(Artifact.job_id == job.id)).all()
        kinds = list(session.scalars(select(JobEvent.type).where(JobEvent.job_id == job.id)))
    assert {artifact.epoch for artifact in artifacts} == {row.finished_epoch}
    assert kinds.count("job.succeeded") == 1
    return row


def outcomes_of(sessions: Sessions, job: Job) -> list[str | None]:
    query = select(JobAttempt.outcome).where(JobAttempt.job_id == job.id).order_by(JobAttempt.epoch)
    with read_only(sessions)() as session:
        return list(session.scalars(query))


LONG = "progress:40:0.05 succeed"


@on_sqlite
def test_kill_the_runner(
    submit_script: Submit,
    start_worker: Callable[[], int],
    sessions: Sessions,
    storage: LocalStorage,
) -> None:
    start_worker()
    job = submit_script(LONG)
    wait_for_progress(sessions, job)
    os.kill(runner_of(job.id), signal.SIGKILL)
    wait_for_state(sessions, job, JobState.SUCCEEDED)
    assert_one_good_artifact(sessions, storage, job)
    assert outcomes_of(sessions, job) == ["crashed", "succeeded"]


def test_kill_the_pool_child(
    submit_script: Submit,
    start_worker: Callable[[], int],
    sessions: Sessions,
    storage: LocalStorage,
) -> None:
    main = start_worker()
    job = submit_script(LONG)
    wait_for_progress(sessions, job)
    (child,) = children_of(main)
    runner = runner_of(job.id)
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{runner}").exists())
    wait_for_state(sessions, job, JobState.SUCCEEDED)
    assert assert_one_good_artifact(sessions, storage, job).crashes == 1
    assert outcomes_of(sessions, job) == ["lease_lost", "succeeded"]


@on_sqlite
def test_kill_the_main_process(
    submit_script: Submit,
    start_worker: Callable[[], int],
    sessions: Sessions,
    storage: LocalStorage,
) -> None:
    main = start_worker()
    job = submit_script(LONG)
    wait_for_progress(sessions, job)
    (child,) = children_of(main)
    runner = runner_of(job.id)
    os.kill(main, signal.SIGKILL)
    for orphan in (child, runner):
        wait_until(lambda orphan=orphan: not Path(f"/proc/{orphan}").exists())
    start_worker()
    wait_for_state(sessions, job, JobState.SUCCEEDED)
    assert_one_good_artifact(sessions, storage, job)
    assert outcomes_of(sessions, job) == ["lease_lost", "succeeded"]


@on_sqlite
def test_kill_the_broker(
    submit_script: Submit,
    start_worker: Callable[[], int],
    sessions: Sessions,
    storage: LocalStorage,
    broker: Broker,
) -> None:
    start_worker()
    job = submit_script(LONG)
    wait_for_progress(sessions, job)
    broker.kill()
    waiting = submit_script("succeed")
    wait_for_state(sessions, job, JobState.SUCCEEDED)
    broker.start()
    wait_for_state(sessions, waiting, JobState.SUCCEEDED)
    for done in (job, waiting):
        assert_one_good_artifact(sessions, storage, done)
        assert outcomes_of(sessions, done) == ["succeeded"]


@on_sqlite
def test_sigterm_to_the_main_process_hands_over(
    submit_script: Submit,
    start_worker: Callable[[], int],
    sessions: Sessions,
    storage: LocalStorage,
) -> None:
    main = start_worker()
    job = submit_script(LONG)
    wait_for_progress(sessions, job)
    os.kill(main, signal.SIGTERM)
    told = time.monotonic()
    wait_for_state(sessions, job, JobState.QUEUED)
    assert time.monotonic() - told < 3
    wait_until(lambda: not children_of(main))
    assert time.monotonic() - told < 10
    start_worker()
    wait_for_state(sessions, job, JobState.SUCCEEDED)
    assert assert_one_good_artifact(sessions, storage, job).crashes == 0
    assert outcomes_of(sessions, job) == ["handed_over", "succeeded"]


@on_sqlite
def test_a_bell_that_rings_too_often_starts_nothing_twice(
    submit_script: Submit,
    start_worker: Callable[[], int],
    sessions: Sessions,
    storage: LocalStorage,
    settings: Settings,
) -> None:
    jobs = [submit_script("progress:3:0.01 succeed") for _ in range(3)]
    doorbell = Doorbell(settings)
    assert all(doorbell.ring("default") for _ in range(10))
    start_worker()
    start_worker()
    for job in jobs:
        wait_for_state(sessions, job, JobState.SUCCEEDED)
        assert_one_good_artifact(sessions, storage, job)
        assert outcomes_of(sessions, job) == ["succeeded"]


@on_sqlite
def test_a_worker_leaves_by_itself_after_its_jobs_and_the_rest_waits(
    submit_script: Submit, sessions: Sessions, settings: Settings, tmp_path: Path
) -> None:
    jobs = [submit_script("succeed") for _ in range(3)]
    bounded = settings.model_copy(update={"worker_max_jobs": 2})
    environment = os.environ | bounded.as_environment() | {"PYTHONPATH": str(REPOSITORY)}
    with (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, str(WORKER)], env=environment, stdout=log, stderr=log
        )
    try:
        Doorbell(settings).ring("default")
        assert worker.wait(PATIENCE_S) == 0
    finally:
        worker.kill()
        worker.wait()
    with sessions() as session:
        states = [session.get_one(Job, job.id).state for job in jobs]
    assert states == [JobState.SUCCEEDED, JobState.SUCCEEDED, JobState.QUEUED]
    assert "it has done 2 jobs" in (tmp_path / "worker.log").read_text()
