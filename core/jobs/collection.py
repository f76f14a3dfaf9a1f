"""What is dropped: cache entries beyond the limit, workspaces no job needs, answers long given."""

import secrets
import shutil
from pathlib import Path

from sqlalchemy import Select, delete, exists, or_, select

from core.database.clock import database_now
from core.database.sessions import Sessions, read_only
from core.database.states import FINISHED, JobState
from core.database.tables import CacheEntry, IdempotencyRecord, Job, JobStage
from core.jobs.publishing import inside
from core.jobs.retention import DAY_S, policies, workspace_is_kept
from core.jobs.workspaces import WorkspaceLock
from core.settings import Settings

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
    here = [entry for entry in entries if _folder(settings, entry).is_dir()]
    excess = sum(entry.bytes for entry in here) - settings.cache_max_bytes
    evicted = []
    for entry in here:
        if excess <= 0:
            break
        if _evict(sessions, settings, entry):
            excess -= entry.bytes
            evicted.append(entry.id)
    return evicted


def drop_unused_cache(sessions: Sessions, settings: Settings) -> list[int]:
    """Drop the entries on this disk that went unused for longer than their project's policy says.

    Entries that a running job uses stay. The ids of those dropped.
    """
    with read_only(sessions)() as session:
        unused = [
            entry
            for project_id, policy in policies(session).items()
            if policy.cache_days is not None
            for entry in session.scalars(unused_entries(project_id, policy.cache_days))
        ]
    here = [entry for entry in unused if _folder(settings, entry).is_dir()]
    return [entry.id for entry in here if _evict(sessions, settings, entry)]


def unused_entries(project_id: str, days: float) -> Select[CacheEntry]:
    return select(CacheEntry).where(
        CacheEntry.project_id == project_id, CacheEntry.used_at < database_now(-days * DAY_S)
    )


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
    comes_back = or_(Job.state.not_in(FINISHED), workspace_is_kept())
    with read_only(sessions)() as session:
        return set(session.scalars(select(Job.id).where(Job.id.in_(job_ids), comes_back)))


def _folder(settings: Settings, entry: CacheEntry) -> Path:
    return inside(settings.cache_dir / entry.project_id, entry.path)


def _evict(sessions: Sessions, settings: Settings, entry: CacheEntry) -> bool:
    if not _forget(sessions, entry):
        return False
    _discard(_folder(settings, entry), settings.cache_dir)
    return True


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
