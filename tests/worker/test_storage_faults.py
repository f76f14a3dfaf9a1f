"""Storage that fails an attempt: nothing partial is shown, nothing counted, a retry succeeds."""

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest
from sqlalchemy import select, update

from core.database.clock import database_now
from core.database.sessions import Sessions
from core.database.states import JobState, Requested
from core.database.tables import Artifact, Job, JobAttempt, JobEvent
from core.jobs.claims import claim_next
from core.jobs.orphans import remove_orphans
from core.settings import Settings
from core.storage.opening import open_storage
from core.storage.storage import Storage
from tests.failing_proxy import FailingProxy, Fault, failing_proxy
from tests.object_store import ObjectStore
from tests.worker.conftest import Submit
from worker.supervisor import Supervisor, Workplace

SCRIPT = "progress:1:0 succeed"
FILES = ["model.safetensors", "sub/config.json"]
PUBLISHING = 10
"""Requests of an artifact of two small files: each is put, looked at, and read back."""


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind of database: it is storage that these tests are about."""
    return sqlite_url


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)


@pytest.fixture(scope="module")
def proxy(object_store: ObjectStore) -> Iterator[FailingProxy]:
    with failing_proxy(object_store.endpoint) as running:
        yield running


@pytest.fixture
def bucket(object_store: ObjectStore, proxy: FailingProxy, settings: Settings) -> Storage:
    proxy.work()
    given = object_store.settings(s3_endpoint=proxy.address)
    return open_storage(settings.model_copy(update=given))


Attempt = Callable[[Storage], JobState | None]


@pytest.fixture
def attempt(place: Workplace) -> Attempt:
    """Claim the job, whatever it waits for, and supervise it over this storage."""

    def run(storage: Storage) -> JobState | None:
        here = replace(place, storage=storage)
        claimed_at = monotonic()
        with place.sessions.begin() as session:
            session.execute(update(Job).values(not_before=None))
            job = claim_next(session, "default", place.owner, place.settings.lease_s)
        assert job is not None
        return Supervisor(here, job, claimed_at=claimed_at).run()

    return run


def row_of(sessions: Sessions, job: Job) -> Job:
    with sessions() as session:
        return session.scalars(select(Job).where(Job.id == job.id)).one()


def shown_files(sessions: Sessions, job: Job) -> list[str]:
    query = select(Artifact.name).where(Artifact.job_id == job.id).order_by(Artifact.name)
    with sessions() as session:
        return list(session.scalars(query))


def last_attempt(sessions: Sessions, job: Job) -> JobAttempt:
    query = select(JobAttempt).where(JobAttempt.job_id == job.id)
    with sessions() as session:
        return session.scalars(query.order_by(JobAttempt.epoch.desc())).all()[0]


def assert_put_off(sessions: Sessions, job: Job) -> None:
    row = row_of(sessions, job)
    assert (row.state, row.crashes, row.artifact_prefix) == (JobState.QUEUED, 0, None)
    assert shown_files(sessions, job) == []
    ended = last_attempt(sessions, job)
    assert ended.outcome == "storage_failed"
    assert ended.detail is not None
    assert "127.0.0.1" not in ended.detail


def assert_published(sessions: Sessions, storage: Storage, job: Job) -> None:
    assert shown_files(sessions, job) == FILES
    prefix = row_of(sessions, job).artifact_prefix
    assert prefix is not None
    assert storage.open(f"{prefix}/model.safetensors").read() == b"weights" * 1000


@pytest.mark.parametrize("first", range(1, PUBLISHING + 1, 2))
@pytest.mark.parametrize("fault", Fault)
def test_a_bucket_that_goes_away_while_publishing(
    bucket: Storage,
    proxy: FailingProxy,
    submit_script: Submit,
    attempt: Attempt,
    sessions: Sessions,
    fault: Fault,
    first: int,
) -> None:
    """30 points."""
    job = submit_script(SCRIPT)
    proxy.fail(fault, first=first)
    assert attempt(bucket) == JobState.QUEUED
    assert_put_off(sessions, job)
    proxy.work()
    assert attempt(bucket) == JobState.SUCCEEDED
    assert_published(sessions, bucket, job)
    remove_orphans(sessions, bucket)
    stored = [key.split("/", 3)[3] for key in bucket.list_prefix(f"jobs/{job.id}")]
    assert stored == FILES


class FullDisk:
    """Calls that write to disk in storage; the n-th of them, and all after it, find no room."""

    CALLS = ("shutil.copyfileobj", "os.fsync", "pathlib.Path.rename")

    def __init__(self, monkeypatch: pytest.MonkeyPatch, nth: int) -> None:
        self._left = nth
        for call in self.CALLS:
            monkeypatch.setattr(call, self._counted(call))

    def _counted(self, call: str) -> Callable[..., object]:
        module, name = {"pathlib.Path.rename": (Path, "rename")}.get(
            call, (__import__(call.split(".")[0]), call.split(".")[-1])
        )
        original: Callable[..., object] = getattr(module, name)

        def counted(*arguments: object) -> object:
            self._left -= 1
            if self._left <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return original(*arguments)

        return counted


@pytest.mark.parametrize("nth", range(1, 9))
def test_a_disk_that_fills_while_publishing(
    place: Workplace,
    submit_script: Submit,
    attempt: Attempt,
    sessions: Sessions,
    monkeypatch: pytest.MonkeyPatch,
    nth: int,
) -> None:
    job = submit_script(SCRIPT)
    with monkeypatch.context() as patched:
        FullDisk(patched, nth)
        assert attempt(place.storage) == JobState.QUEUED
    assert_put_off(sessions, job)
    assert "is full" in str(last_attempt(sessions, job).detail)
    assert attempt(place.storage) == JobState.SUCCEEDED
    assert_published(sessions, place.storage, job)


def test_a_job_waits_longer_each_time_and_never_counts_a_crash(
    bucket: Storage,
    proxy: FailingProxy,
    submit_script: Submit,
    attempt: Attempt,
    place: Workplace,
    sessions: Sessions,
) -> None:
    job = submit_script(SCRIPT)
    proxy.fail(Fault.REFUSED, first=1)
    for _ in range(4):
        assert attempt(bucket) == JobState.QUEUED
    assert row_of(sessions, job).crashes == 0
    with sessions.begin() as session:
        assert claim_next(session, "default", place.owner, 60.0) is None
        query = select(JobEvent.data).where(JobEvent.type == "job.queued").order_by(JobEvent.seq)
        waits = [data.get("again_in_s") for data in session.scalars(query)]
    assert waits == [None, 15.0, 30.0, 60.0, 120.0]


def test_a_request_made_meanwhile_is_heeded(
    bucket: Storage,
    proxy: FailingProxy,
    submit_script: Submit,
    attempt: Attempt,
    sessions: Sessions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = submit_script(SCRIPT)
    proxy.fail(Fault.REFUSED, first=1)
    put_file = bucket.put_file

    def cancelled_meanwhile(key: str, source: Path) -> None:
        with sessions.begin() as session:
            session.execute(update(Job).values(requested=Requested.CANCEL))
        put_file(key, source)

    monkeypatch.setattr(bucket, "put_file", cancelled_meanwhile)
    assert attempt(bucket) == JobState.CANCELLED
    assert shown_files(sessions, job) == []


def test_inputs_are_placed_in_the_workspace_when_the_bucket_is_back(
    bucket: Storage,
    proxy: FailingProxy,
    submit_script: Submit,
    attempt: Attempt,
    settings: Settings,
    sessions: Sessions,
    tmp_path: Path,
) -> None:
    table = tmp_path / "table.csv"
    table.write_text("text,label\nfine,good\n")
    bucket.put_file("datasets/p/ds_1.csv", table)
    job = submit_script(SCRIPT)
    with sessions.begin() as session:
        row = session.get_one(Job, job.id)
        row.inputs = row.inputs | {"dataset_key": "datasets/p/ds_1.csv", "dataset_path": None}
    proxy.fail(Fault.SERVER_ERROR, first=1)
    assert attempt(bucket) == JobState.QUEUED
    assert_put_off(sessions, job)
    proxy.work()
    assert attempt(bucket) == JobState.SUCCEEDED
    placed = settings.workspaces_dir / job.id / "inputs" / "stored" / "dataset.csv"
    assert placed.read_text() == table.read_text()


def test_a_job_that_was_put_off_can_be_taken_up_at_its_time(
    bucket: Storage,
    proxy: FailingProxy,
    submit_script: Submit,
    attempt: Attempt,
    place: Workplace,
    sessions: Sessions,
) -> None:
    submit_script(SCRIPT)
    proxy.fail(Fault.BUSY, first=1)
    assert attempt(bucket) == JobState.QUEUED
    with sessions.begin() as session:
        session.execute(update(Job).values(not_before=database_now(-1)))
        assert claim_next(session, "default", place.owner, 60.0) is not None
