import os
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from core.database.sessions import Sessions
from core.database.states import JobState
from core.database.tables import CacheEntry, IdempotencyRecord, now
from core.jobs.collection import evict_cache, forget_answers, remove_stale_workspaces
from core.jobs.workspaces import WorkspaceLock
from core.settings import Settings
from tests.factories import DEFAULT_PROJECT, make_cache_entry, make_job, make_stage


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"cache_max_bytes": 100})


def cached(sessions: Sessions, settings: Settings, name: str, *, size: int, age_h: int) -> Path:
    with sessions.begin() as session:
        entry = make_cache_entry(
            session, fingerprint=name, bytes=size, used_at=now() - timedelta(hours=age_h)
        )
    folder = settings.cache_dir / DEFAULT_PROJECT / entry.path
    folder.mkdir(parents=True)
    (folder / "data").write_bytes(b"x")
    return folder


def left(sessions: Sessions) -> set[str]:
    with sessions() as session:
        return set(session.scalars(select(CacheEntry.fingerprint)))


def test_the_least_recently_used_entries_go_until_the_rest_fits(
    sessions: Sessions, settings: Settings
) -> None:
    oldest = cached(sessions, settings, "oldest", size=50, age_h=3)
    older = cached(sessions, settings, "older", size=30, age_h=2)
    newest = cached(sessions, settings, "newest", size=60, age_h=1)
    assert len(evict_cache(sessions, settings)) == 1
    assert (oldest.exists(), older.exists(), newest.exists()) == (False, True, True)
    assert left(sessions) == {"older", "newest"}
    assert evict_cache(sessions, settings) == []


def test_what_a_running_job_uses_stays(sessions: Sessions, settings: Settings) -> None:
    used = cached(sessions, settings, "used", size=90, age_h=3)
    unused = cached(sessions, settings, "unused", size=90, age_h=1)
    with sessions.begin() as session:
        job = make_job(session, state=JobState.RUNNING)
        make_stage(session, job, stage="statistics", state="done", fingerprint="used")
        over = make_job(session, state=JobState.SUCCEEDED)
        make_stage(session, over, stage="statistics", state="done", fingerprint="unused")
    evict_cache(sessions, settings)
    assert used.exists()
    assert not unused.exists()


def test_entries_of_other_disks_are_theirs_to_drop(sessions: Sessions, settings: Settings) -> None:
    with sessions.begin() as session:
        make_cache_entry(session, fingerprint="elsewhere", bytes=10**9)
    here = cached(sessions, settings, "here", size=90, age_h=1)
    assert evict_cache(sessions, settings) == []
    assert here.exists()
    assert left(sessions) == {"elsewhere", "here"}


@pytest.mark.parametrize(
    ("state", "ended_h", "stays"),
    [
        (JobState.QUEUED, None, True),
        (JobState.RUNNING, None, True),
        (JobState.PAUSED, None, True),
        (JobState.SUCCEEDED, 0, False),
        (JobState.FAILED, 1, True),
        (JobState.FAILED, 25, False),
        (JobState.CANCELLED, 1, True),
        (JobState.CANCELLED, 25, False),
        (None, None, False),
    ],
)
def test_workspaces_stay_while_a_job_may_come_back(
    sessions: Sessions,
    settings: Settings,
    state: JobState | None,
    ended_h: int | None,
    stays: bool,
) -> None:
    job_id = "job_deleted"
    if state is not None:
        with sessions.begin() as session:
            ended = None if ended_h is None else now() - timedelta(hours=ended_h)
            job_id = make_job(session, state=state, finished_at=ended).id
    workspace = settings.workspaces_dir / job_id
    workspace.mkdir(parents=True)
    (workspace / "checkpoint").write_bytes(b"x")
    remove_stale_workspaces(sessions, settings)
    assert workspace.exists() == stays


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_workspace_with_a_runner_in_it_stays(sessions: Sessions, settings: Settings) -> None:
    workspace = settings.workspaces_dir / "job_deleted"
    workspace.mkdir(parents=True)
    with WorkspaceLock(workspace):
        assert remove_stale_workspaces(sessions, settings) == []
    assert remove_stale_workspaces(sessions, settings) == ["job_deleted"]
    assert os.listdir(settings.workspaces_dir) == []


def test_answers_of_a_day_ago_are_forgotten(sessions: Sessions) -> None:
    with sessions.begin() as session:
        for key, hours in (("old", 25), ("new", 23)):
            session.add(
                IdempotencyRecord(
                    project_id=DEFAULT_PROJECT,
                    key=key,
                    request_sha256="0" * 64,
                    created_at=now() - timedelta(hours=hours),
                )
            )
    forget_answers(sessions)
    with sessions() as session:
        assert session.scalars(select(IdempotencyRecord.key)).all() == ["new"]
