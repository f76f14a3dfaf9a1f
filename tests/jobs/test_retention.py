"""What has had its time goes; numbers, changes of state, and what is still needed stay."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.database.identifiers import new_id
from core.database.sessions import Sessions
from core.database.states import JobState
from core.database.tables import Artifact, CacheEntry, Job, JobEvent, JobMetric, Retention, now
from core.jobs.collection import drop_unused_cache, remove_stale_workspaces
from core.jobs.dropping import drop_artifacts, drop_events
from core.jobs.orphans import remove_orphans
from core.settings import Settings
from core.storage.local import LocalStorage
from tests.factories import (
    DEFAULT_PROJECT,
    make_artifact,
    make_cache_entry,
    make_event,
    make_job,
    make_metric,
    make_project,
    make_recipe,
    make_stage,
)


def keep(session: Session, project_id: str = DEFAULT_PROJECT, **days: float) -> None:
    values: dict[str, float] = {"workspaces_days": 1} | days
    session.add(Retention(id=new_id("ret"), project_id=project_id, **values))


@pytest.fixture
def published(storage: LocalStorage, tmp_path: Path):  # type: ignore[no-untyped-def]
    source = tmp_path / "source"
    source.write_bytes(b"weights")

    def make(session: Session, *, ended_days: float, **columns: object) -> str:
        ended = now() - timedelta(days=ended_days)
        job = make_job(session, state=JobState.SUCCEEDED, finished_at=ended, epoch=1, **columns)
        job.artifact_prefix = f"jobs/{job.id}/e1"
        artifact = make_artifact(session, job)
        make_metric(session, job)
        storage.put_file(artifact.storage_key, source)
        return job.id

    return make


def test_an_old_artifact_goes_and_its_numbers_stay(
    sessions: Sessions, storage: LocalStorage, published
) -> None:
    with sessions.begin() as session:
        keep(session, artifacts_days=30)
        old, new = published(session, ended_days=31), published(session, ended_days=29)
        elsewhere = make_project(session).id
        other = published(session, ended_days=99, project_id=elsewhere)
    assert drop_artifacts(sessions, storage) == [old]
    assert drop_artifacts(sessions, storage) == []
    assert list(storage.list_prefix("jobs")) == sorted(
        f"jobs/{id}/e1/model.safetensors" for id in (new, other)
    )
    with sessions() as session:
        job = session.get_one(Job, old)
        assert job.artifact_dropped_at is not None
        assert job.state == JobState.SUCCEEDED
        assert set(session.scalars(select(Artifact.job_id))) == {new, other}
        assert session.scalars(select(func.count()).select_from(JobMetric)).one() == 3
        query = select(JobEvent.type).where(JobEvent.job_id == old)
        assert session.scalars(query).all() == ["job.artifact_dropped"]


def test_a_kept_job_and_one_that_is_read_lose_nothing(
    sessions: Sessions, storage: LocalStorage, published
) -> None:
    with sessions.begin() as session:
        keep(session, artifacts_days=1)
        published(session, ended_days=9, labels={"retention": "keep"})
        source = published(session, ended_days=9, labels={"retention": "drop"})
        recipe = make_recipe(model={"type": "job", "id": source}).model_dump(mode="json")
        reader = make_job(session, recipe=recipe).id
    assert drop_artifacts(sessions, storage) == []
    with sessions.begin() as session:
        session.get_one(Job, reader).state = JobState.CANCELLED
    assert drop_artifacts(sessions, storage) == [source]


def test_files_left_by_a_crash_between_rows_and_bytes_are_orphans(
    sessions: Sessions, storage: LocalStorage, published, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sessions.begin() as session:
        keep(session, artifacts_days=1)
        job = published(session, ended_days=9)
    with monkeypatch.context() as crash:
        crash.setattr(storage, "delete_prefix", _crash)
        with pytest.raises(RuntimeError):
            drop_artifacts(sessions, storage)
    assert remove_orphans(sessions, storage) == [f"jobs/{job}/e1"]


def _crash(prefix: str) -> None:
    raise RuntimeError("the process died here")


def test_old_events_go_but_for_changes_of_state(sessions: Sessions) -> None:
    with sessions.begin() as session:
        keep(session, events_days=10)
        for days, state in ((11, JobState.FAILED), (9, JobState.FAILED), (11, JobState.RUNNING)):
            ended = None if state == JobState.RUNNING else now() - timedelta(days=days)
            job = make_job(session, state=state, finished_at=ended)
            for kind in ("job.queued", "stage.progress", "log"):
                make_event(session, job, type=kind)
    assert drop_events(sessions) == 2
    assert drop_events(sessions) == 0
    with sessions() as session:
        assert sorted(session.scalars(select(JobEvent.type))) == sorted(
            ["job.queued"] * 3 + ["stage.progress", "log"] * 2
        )


@pytest.mark.parametrize(("days", "stays"), [(2.0, True), (0.5, False), (0.0, False)])
def test_workspaces_stay_as_long_as_the_policy_says(
    sessions: Sessions, settings: Settings, days: float, stays: bool
) -> None:
    with sessions.begin() as session:
        keep(session, workspaces_days=days)
        ended = now() - timedelta(days=1)
        job_id = make_job(session, state=JobState.FAILED, finished_at=ended).id
    workspace = settings.workspaces_dir / job_id
    workspace.mkdir(parents=True)
    remove_stale_workspaces(sessions, settings)
    assert workspace.exists() == stays


def test_cache_entries_go_when_they_were_not_used_for_long(
    sessions: Sessions, settings: Settings
) -> None:
    with sessions.begin() as session:
        keep(session, cache_days=7)
        for name, days in (("unused", 8), ("used", 6), ("in_use", 8)):
            entry = make_cache_entry(
                session, fingerprint=name, used_at=now() - timedelta(days=days)
            )
            (settings.cache_dir / DEFAULT_PROJECT / entry.path).mkdir(parents=True)
        running = make_job(session, state=JobState.RUNNING)
        make_stage(session, running, stage="statistics", state="done", fingerprint="in_use")
    assert len(drop_unused_cache(sessions, settings)) == 1
    with sessions() as session:
        assert set(session.scalars(select(CacheEntry.fingerprint))) == {"used", "in_use"}
    assert sorted(path.name for path in settings.cache_dir.glob("*/statistics/*")) == [
        "in_use",
        "used",
    ]
