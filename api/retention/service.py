"""A project's retention policy, and what it would drop now."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.retention.schemas import DueJob, RetentionPreview, RetentionView, Rows, Stored
from core.database.identifiers import new_id
from core.database.tables import Artifact, CacheEntry, Job, JobEvent, Retention
from core.database.upsert import upsert
from core.jobs import retention
from core.jobs.collection import unused_entries
from core.jobs.retention import Policy
from core.settings import Settings

JOBS_SHOWN = 100


def store(session: Session, project_id: str, policy: Policy) -> Policy:
    """In the place of any earlier one. The service's maintenance acts on it within minutes."""
    row = {"id": new_id("ret"), "project_id": project_id} | asdict(policy)
    upsert(session, Retention, row, keys=["project_id"])
    return policy


def preview(
    session: Session, project_id: str, policy: Policy, settings: Settings
) -> RetentionPreview:
    """A dry run: nothing is dropped."""
    return RetentionPreview(
        policy=RetentionView.model_validate(policy),
        artifacts=_artifacts(session, project_id, policy.artifacts_days),
        events=_events(session, project_id, policy.events_days),
        workspaces=_workspaces(session, project_id, policy.workspaces_days, settings),
        cache=_cache(session, project_id, policy.cache_days),
        jobs=_jobs(session, project_id, policy.artifacts_days),
    )


def _artifacts(session: Session, project_id: str, days: float | None) -> Stored:
    if days is None:
        return Stored(count=0, bytes=0)
    due = select(Job.id).where(retention.artifact_is_due(project_id, days))
    query = select(
        func.count(Artifact.job_id.distinct()), func.coalesce(func.sum(Artifact.bytes), 0)
    ).where(Artifact.job_id.in_(due))
    count, size = session.execute(query).one()
    return Stored(count=count, bytes=int(size))


def _jobs(session: Session, project_id: str, days: float | None) -> list[DueJob]:
    if days is None:
        return []
    size = (
        select(func.coalesce(func.sum(Artifact.bytes), 0))
        .where(Artifact.job_id == Job.id)
        .scalar_subquery()
    )
    query = (
        select(Job.id, Job.name, Job.finished_at, size)
        .where(retention.artifact_is_due(project_id, days))
        .order_by(Job.finished_at, Job.id)
        .limit(JOBS_SHOWN)
    )
    return [
        DueJob(id=id, name=name, finished_at=finished_at, bytes=int(bytes))
        for id, name, finished_at, bytes in session.execute(query)
        if finished_at is not None
    ]


def _events(session: Session, project_id: str, days: float | None) -> Rows:
    if days is None:
        return Rows(count=0)
    are_due = retention.events_are_due(project_id, days)
    query = select(func.count()).select_from(JobEvent).where(are_due)
    return Rows(count=session.scalars(query).one())


def _workspaces(session: Session, project_id: str, days: float, settings: Settings) -> Stored:
    folders = [
        folder
        for job_id in _stopped_jobs(session, project_id, days)
        if (folder := settings.workspaces_dir / job_id).is_dir()
    ]
    return Stored(count=len(folders), bytes=sum(map(_bytes_under, folders)))


def _stopped_jobs(session: Session, project_id: str, days: float) -> Sequence[str]:
    stopped = retention.may_be_retried() & retention.ended_before(days)
    return session.scalars(select(Job.id).where(Job.project_id == project_id, stopped)).all()


def _cache(session: Session, project_id: str, days: float | None) -> Stored:
    if days is None:
        return Stored(count=0, bytes=0)
    entries: Sequence[CacheEntry] = session.scalars(unused_entries(project_id, days)).all()
    return Stored(count=len(entries), bytes=sum(entry.bytes for entry in entries))


def _bytes_under(folder: Path) -> int:
    return sum(_size(path) for path in folder.rglob("*"))


def _size(path: Path) -> int:
    """0 for what a worker removed meanwhile."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0
