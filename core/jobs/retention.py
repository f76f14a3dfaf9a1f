"""How long a project keeps what its finished jobs left, and what of it has had its time.

Rows of jobs, metrics, layers and results are never dropped here: they outlive the files.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Float, and_, exists, func, select
from sqlalchemy.orm import Session, aliased

from core.database.clock import database_now, seconds_between
from core.database.states import FINISHED, JobState
from core.database.tables import Job, JobEvent, Retention
from core.jobs.readers import reads_result_of

DAY_S = 86_400.0
KEEP_LABEL = ("retention", "keep")
"""A job with this label is left alone."""
STATE_EVENTS = "job.%"
"""When the job was queued, started, finished: these stay as long as the job."""


@dataclass(frozen=True)
class Policy:
    """Days after a job's end (of a cache entry: its last use); None is for ever."""

    artifacts_days: float | None = None
    events_days: float | None = None
    workspaces_days: float = 1.0
    """Of failed and cancelled jobs, for a retry; a succeeded job's goes at once."""
    cache_days: float | None = None


def policy_of(session: Session, project_id: str) -> Policy:
    query = select(Retention).where(Retention.project_id == project_id)
    row = session.scalars(query).one_or_none()
    return Policy() if row is None else _policy(row)


def policies(session: Session) -> dict[str, Policy]:
    """Of every project that has one of its own."""
    return {row.project_id: _policy(row) for row in session.scalars(select(Retention))}


def artifact_is_due(project_id: str, days: float) -> ColumnElement[bool]:
    """Of a job: its files have had their time, and no unfinished job takes them as its model."""
    is_read = exists().where(reads_result_of(aliased(Job), project_id, Job.id))
    succeeded = Job.state == JobState.SUCCEEDED
    return and_(_is_over(project_id, days), succeeded, Job.artifact_prefix.is_not(None), ~is_read)


def events_are_due(project_id: str, days: float) -> ColumnElement[bool]:
    """Of an event: its job has been over for so long; that the job's state changed is kept."""
    over = select(Job.id).where(_is_over(project_id, days))
    return and_(JobEvent.job_id.in_(over), JobEvent.type.not_like(STATE_EVENTS))


def may_be_retried() -> ColumnElement[bool]:
    return Job.state.in_([JobState.FAILED, JobState.CANCELLED])


def ended_before(days: float) -> ColumnElement[bool]:
    """Of a job: it has been over for so long."""
    return Job.finished_at < database_now(-days * DAY_S)


def workspace_is_kept() -> ColumnElement[bool]:
    """Of a job: it may still be retried where it stopped."""
    days = (
        select(Retention.workspaces_days)
        .where(Retention.project_id == Job.project_id)
        .scalar_subquery()
    )
    kept_s = func.coalesce(days, Policy.workspaces_days, type_=Float) * DAY_S
    age_s = seconds_between(Job.finished_at, database_now())
    return and_(may_be_retried(), age_s < kept_s)


def _is_over(project_id: str, days: float) -> ColumnElement[bool]:
    name, value = KEEP_LABEL
    return and_(
        Job.project_id == project_id,
        Job.state.in_(FINISHED),
        ended_before(days),
        func.coalesce(Job.labels[name].as_string(), "") != value,
    )


def _policy(row: Retention) -> Policy:
    return Policy(row.artifacts_days, row.events_days, row.workspaces_days, row.cache_days)
