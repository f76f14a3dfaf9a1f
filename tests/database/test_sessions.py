import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import Engine, make_url, select, text

from core.database.clock import database_now
from core.database.identifiers import new_id
from core.database.sessions import Sessions, engine_of, make_sessions, read_only
from core.database.states import JobState, Requested
from core.database.tables import CacheEntry, Job, now
from core.database.upsert import upsert
from tests.factories import DEFAULT_PROJECT, make_cache_entry, make_job, make_project


def test_readers_never_wait_for_a_writer(sessions: Sessions) -> None:
    with sessions.begin() as session:
        make_job(session)
        started = time.monotonic()
        with read_only(sessions)() as reading:
            assert reading.scalars(select(Job.id)).all() == []
        assert time.monotonic() - started < 2


def test_writers_that_read_first_queue_instead_of_failing(sessions: Sessions) -> None:
    with sessions.begin() as session:
        job = make_job(session)

    def add_one() -> None:
        for _ in range(20):
            with sessions.begin() as session:
                row = session.scalars(select(Job).where(Job.id == job.id).with_for_update()).one()
                row.attempts += 1

    threads = [threading.Thread(target=add_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with sessions() as session:
        assert session.get_one(Job, job.id).attempts == 80


def test_sqlite_is_set_up_for_several_processes(sqlite_url: str) -> None:
    engine = engine_of(make_url(sqlite_url))
    with engine.connect() as connection:
        found = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    engine.dispose()
    assert found == {
        "journal_mode": "wal",
        "synchronous": 1,
        "busy_timeout": 30_000,
        "foreign_keys": 1,
    }


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg"])
def test_postgresql_is_reached_through_psycopg(scheme: str) -> None:
    assert engine_of(make_url(f"{scheme}://user@host/name")).driver == "psycopg"


def test_the_clocks_of_database_and_host_are_compared_alike(sessions: Sessions) -> None:
    with sessions.begin() as session:
        job = make_job(session, lease_until=database_now(60), not_before=now())
        session.flush()
        session.refresh(job)
        assert job.lease_until is not None
        assert abs(job.lease_until - now() - timedelta(seconds=60)) < timedelta(seconds=5)
        later = select(Job.id).where(Job.lease_until > database_now(50))
        sooner = select(Job.id).where(Job.lease_until > database_now(70))
        due = select(Job.id).where(Job.not_before <= database_now(0.5))
        assert session.scalars(later).all() == [job.id]
        assert session.scalars(sooner).all() == []
        assert session.scalars(due).all() == [job.id]


def test_states_come_back_as_their_enum(sessions: Sessions, engine: Engine) -> None:
    with sessions.begin() as session:
        job = make_job(session, state=JobState.RUNNING, requested=Requested.CANCEL)
    with sessions() as session:
        row = session.get_one(Job, job.id)
        assert row.state is JobState.RUNNING
        assert row.requested is Requested.CANCEL
    with engine.connect() as connection:
        assert connection.execute(text("SELECT state FROM job")).scalar() == "running"


def test_none_in_a_json_column_is_null(sessions: Sessions, engine: Engine) -> None:
    with sessions.begin() as session:
        make_job(session, error=None, result={"a": [1, None]})
    with engine.connect() as connection:
        assert (
            connection.execute(text("SELECT count(*) FROM job WHERE error IS NULL")).scalar() == 1
        )


def test_upsert_changes_the_row_with_the_same_keys(sessions: Sessions) -> None:
    with sessions.begin() as session:
        kept = make_cache_entry(session, fingerprint="a" * 64, bytes=1)
        make_cache_entry(session, project_id=make_project(session).id, fingerprint="a" * 64)
        row = {
            "project_id": DEFAULT_PROJECT,
            "stage": kept.stage,
            "fingerprint": kept.fingerprint,
            "path": "moved",
            "bytes": 2,
        }
        upsert(session, CacheEntry, row, keys=("project_id", "stage", "fingerprint"))
        upsert(
            session,
            CacheEntry,
            row | {"fingerprint": "b" * 64},
            keys=("project_id", "stage", "fingerprint"),
        )
        session.refresh(kept)
        assert (kept.path, kept.bytes) == ("moved", 2)
        assert len(session.scalars(select(CacheEntry)).all()) == 3


def test_ids_are_unique_and_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len({new_id("job") for _ in range(10_000)}) == 10_000
    ids = []
    for milliseconds in (1, 1_000, 1_700_000_000_000, 2**48 - 1):
        monkeypatch.setattr(time, "time_ns", lambda ms=milliseconds: ms * 1_000_000)
        ids.append(new_id("job"))
    assert ids == sorted(ids)
    assert all(len(identifier) == len("job_") + 26 for identifier in ids)


def test_sessions_keep_rows_readable_after_commit(engine: Engine) -> None:
    with make_sessions(engine).begin() as session:
        job = make_job(session)
    assert job.state is JobState.QUEUED
