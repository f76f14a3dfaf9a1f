"""What is dropped: cache entries beyond the limit, workspaces no job needs, answers long given."""

import secrets
import shutil
from pathlib import Path

from sqlalchemy import and_, delete, exists, or_, select

from core.database.clock import database_now
from core.database.sessions import Sessions, read_only
from core.database.states import FINISHED, JobState
from core.database.tables import CacheEntry, IdempotencyRecord, Job, JobStage
from core.jobs.publishing import inside
from core.jobs.workspaces import WorkspaceLock
from core.settings import Settings

KEPT_FOR_RETRY_S = 86_400.0
"""Workspaces of failed and cancelled jobs stay this long."""
ANSWERS_KEPT_S = 86_400.0
"""A POST's answer is kept this long for the same Idempotency-Key."""
DISCARDED = ".discarded"
"""A folder beside what it was renamed from, so that nothing is ever seen half removed."""


def evict_cache(sessions: Sessions, settings: Settings) -> list[int]:
    """Drop the least recently used entries on this disk until they fit `cache_max_bytes`.

    Entries that a running job uses stay. The ids of those dropped.
    """
    with read_only(sessions)() as session:
        entries = session.scalars(select(CacheEntry).order_by(CacheEntry.used_at)).all()
    here = [(entry, folder) for entry in entries if (folder := _folder(settings, entry)).is_dir()]
    excess = sum(entry.bytes for entry, _ in here) - settings.cache_max_bytes
    evicted = []
    for entry, folder in here:
        if excess <= 0:
            break
        if _forget(sessions, entry):
            _discard(folder, settings.cache_dir)
            excess -= entry.bytes
            evicted.append(entry.id)
    return evicted


def remove_stale_workspaces(sessions: Sessions, settings: Settings) -> list[str]:
    """Remove the workspaces that no job will come back to; the ids of their jobs."""
    if not settings.workspaces_dir.is_dir():
        return []
    folders = [path for path in settings.workspaces_dir.iterdir() if path.name != DISCARDED]
    kept = _jobs_to_come_back(sessions, [folder.name for folder in folders])
    removed = []
    for folder in folders:
        if folder.name not in kept and not WorkspaceLock.is_held(folder):
            _discard(folder, settings.workspaces_dir)
            removed.append(folder.name)
    return removed


def discard_workspace(settings: Settings, job_id: str) -> None:
    """Remove a deleted job's folder from this disk, unless a runner that is not over holds it."""
    folder = settings.workspaces_dir / job_id
    if folder.is_dir() and not WorkspaceLock.is_held(folder):
        _discard(folder, settings.workspaces_dir)


def forget_answers(sessions: Sessions) -> None:
    """Delete the Idempotency-Keys, of all projects, that have had their time."""
    old = IdempotencyRecord.created_at < database_now(-ANSWERS_KEPT_S)
    with sessions.begin() as session:
        session.execute(delete(IdempotencyRecord).where(old))


def _jobs_to_come_back(sessions: Sessions, job_ids: list[str]) -> set[str]:
    """Those of these jobs that wait, run, or could be retried."""
    retryable = and_(
        Job.state.in_([JobState.FAILED, JobState.CANCELLED]),
        Job.finished_at > database_now(-KEPT_FOR_RETRY_S),
    )
    comes_back = or_(Job.state.not_in(FINISHED), retryable)
    with read_only(sessions)() as session:
        return set(session.scalars(select(Job.id).where(Job.id.in_(job_ids), comes_back)))


def _folder(settings: Settings, entry: CacheEntry) -> Path:
    return inside(settings.cache_dir / entry.project_id, entry.path)


def _forget(sessions: Sessions, entry: CacheEntry) -> bool:
    """Delete the entry's row, unless it was used since it was read or a running job needs it."""
    in_use = exists().where(
        JobStage.project_id == entry.project_id,
        JobStage.stage == entry.stage,
        JobStage.fingerprint == entry.fingerprint,
        Job.id == JobStage.job_id,
        Job.state == JobState.RUNNING,
    )
    with sessions.begin() as session:
        deleted = session.execute(
            delete(CacheEntry)
            .where(CacheEntry.id == entry.id, CacheEntry.used_at == entry.used_at, ~in_use)
            .returning(CacheEntry.id)
            .execution_options(synchronize_session=False)
        ).one_or_none()
    return deleted is not None


def _discard(folder: Path, root: Path) -> None:
    """Rename, then remove: what is left of an interrupted removal goes with the next one."""
    bin = root / DISCARDED
    bin.mkdir(exist_ok=True)
    folder.rename(bin / secrets.token_hex(8))
    shutil.rmtree(bin, ignore_errors=True)
