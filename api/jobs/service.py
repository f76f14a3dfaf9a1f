"""Jobs as callers see them: submitted, listed, looked into, cancelled."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from api.idempotency import Answer, Write
from api.jobs.refusals import as_problems
from api.jobs.schemas import Job, JobChanges, Status
from api.models.service import hold as hold_model
from api.pagination import PageRequest, Rows, fetch
from api.problems import invalid_field, not_found
from api.resolution import Resolved, resolve
from core.database.sessions import Sessions, read_only
from core.database.states import JobState, Requested
from core.database.tables import Dataset
from core.database.tables import Job as JobTable
from core.errors import DataError, ModelError
from core.jobs import changes, publishing, requests, submission
from core.jobs.collection import discard_workspace
from core.jobs.orphans import discard
from core.recipe import Recipe
from core.recipe.sources import JobModel, ModelSource
from core.settings import Settings
from core.storage.storage import Storage

DEFAULTS: dict[str, Any] = {"name": "", "labels": {}, "priority": 0}
MOST_LABELS = 32


@dataclass(frozen=True)
class JobFilter:
    """Which jobs are wanted; everything given must hold."""

    statuses: Sequence[Status] = ()
    labels: dict[str, str] = field(default_factory=dict)
    search: str = ""
    """Part of the name."""
    created_after: datetime | None = None
    created_before: datetime | None = None


def prepare_submission(
    recipe: Recipe,
    priority: int,
    project_id: str,
    sessions: Sessions,
    settings: Settings,
    storage: Storage,
) -> Write:
    """Find and check what the recipe names; the write that is returned queues the job."""
    with read_only(sessions)() as session:
        resolved = resolve(recipe, project_id, session, settings, storage)
    max_queued = settings.max_queued_jobs
    return lambda session: _submitted(session, resolved, priority, project_id, max_queued)


def _submitted(
    session: Session, resolved: Resolved, priority: int, project_id: str, max_queued: int
) -> Answer:
    hold(session, resolved)
    with as_problems():
        row = submission.submit(
            session,
            project_id=project_id,
            recipe=resolved.recipe,
            inputs=resolved.inputs(),
            priority=priority,
            max_queued=max_queued,
        )
    session.refresh(row)
    shown = Job.of(row)
    return Answer(202, shown.model_dump(mode="json"), {"Location": shown.links["self"]})


def hold(session: Session, resolved: Resolved) -> None:
    """Keep what a job reads from being deleted before the job is there."""
    _hold_dataset(session, resolved.dataset.storage_key)
    _hold_source_job(session, resolved.recipe.model)
    hold_model(session, resolved.recipe.model)


def _hold_dataset(session: Session, storage_key: str | None) -> None:
    if storage_key is None:
        return
    query = select(Dataset.id).where(Dataset.storage_key == storage_key)
    if session.scalar(query.with_for_update()) is None:
        raise DataError("the dataset has just been deleted", pointer="/task/dataset/id")


def _hold_source_job(session: Session, source: ModelSource) -> None:
    if not isinstance(source, JobModel):
        return
    query = select(JobTable.id).where(JobTable.id == source.id)
    if session.scalar(query.with_for_update()) is None:
        raise ModelError("the job has just been deleted", pointer="/model/id")


def get(session: Session, project_id: str, job_id: str) -> JobTable:
    row = session.get(JobTable, job_id)
    if row is None or row.project_id != project_id:
        raise not_found("job", job_id)
    return row


def listed(
    session: Session, project_id: str, wanted: JobFilter, page: PageRequest
) -> Rows[JobTable]:
    query = select(JobTable).where(JobTable.project_id == project_id, *_conditions(wanted))
    return fetch(session, query, JobTable.created_at, JobTable.id, page)


def _conditions(wanted: JobFilter) -> list[ColumnElement[bool]]:
    conditions = [JobTable.labels[key].as_string() == value for key, value in wanted.labels.items()]
    if wanted.statuses:
        conditions.append(_any_status(wanted.statuses))
    if wanted.search:
        conditions.append(JobTable.name.icontains(wanted.search, autoescape=True))
    if wanted.created_after is not None:
        conditions.append(JobTable.created_at > wanted.created_after)
    if wanted.created_before is not None:
        conditions.append(JobTable.created_at < wanted.created_before)
    return conditions


def _any_status(statuses: Sequence[Status]) -> ColumnElement[bool]:
    first, *others = (_has_status(status) for status in statuses)
    for other in others:
        first = first | other
    return first


def _has_status(status: Status) -> ColumnElement[bool]:
    """A shown status, in terms of what is stored."""
    running = JobTable.state == JobState.RUNNING
    if status in {"pausing", "cancelling"}:
        asked = Requested.PAUSE if status == "pausing" else Requested.CANCEL
        return running & (JobTable.requested == asked)
    if status == "running":
        return running & JobTable.requested.is_(None)
    return JobTable.state == JobState(status)


def cancel(session: Session, project_id: str, job_id: str) -> JobTable:
    with as_problems():
        return requests.cancel(session, project_id, job_id)


def pause(session: Session, project_id: str, job_id: str) -> JobTable:
    with as_problems():
        return requests.pause(session, project_id, job_id)


def resume(session: Session, project_id: str, job_id: str) -> JobTable:
    with as_problems():
        return requests.resume(session, project_id, job_id)


def retry(session: Session, project_id: str, job_id: str, max_queued: int) -> JobTable:
    with as_problems():
        return requests.retry(session, project_id, job_id, max_queued)


def change(session: Session, project_id: str, job_id: str, wanted: JobChanges) -> JobTable:
    """Merge what was sent into the job's row (RFC 7396)."""
    with as_problems():
        row = requests.locked(session, project_id, job_id)
        return changes.change(session, row, **_merged(row, wanted))


def _merged(row: JobTable, wanted: JobChanges) -> dict[str, Any]:
    """The columns that were sent; null takes one back to what a job without it has."""
    sent = wanted.model_dump(exclude_unset=True)
    values = {name: DEFAULTS[name] if value is None else value for name, value in sent.items()}
    if wanted.labels is not None:
        labels = row.labels | wanted.labels
        values["labels"] = {key: value for key, value in labels.items() if value is not None}
        if len(values["labels"]) > MOST_LABELS:
            raise invalid_field("/labels", f"a job has at most {MOST_LABELS} labels")
    return values


def delete(session: Session, project_id: str, job_id: str) -> None:
    """The rows; `remove_files` is for after the commit."""
    with as_problems():
        requests.delete(session, project_id, job_id)


def remove_files(job_id: str, storage: Storage, settings: Settings) -> None:
    """What a deleted job leaves in storage and on this host's disk, if no runner is in there."""
    discard(storage, publishing.job_prefix(job_id))
    discard_workspace(settings, job_id)
