"""Jobs as callers see them: submitted, listed, looked into, cancelled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from api.idempotency import Answer, Write
from api.jobs.schemas import Job, Status
from api.pagination import PageRequest, Rows, fetch
from api.problems import Problem, not_found
from api.resolution import Resolved, resolve
from core.database.sessions import Sessions
from core.database.states import JobState, Requested
from core.database.tables import Dataset, JobAttempt, JobEvent, JobLayer, JobMetric, JobStage
from core.database.tables import Job as JobTable
from core.errors import DataError
from core.jobs import requests, submission
from core.jobs.errors import IllegalTransition, NotFound
from core.recipe import Recipe
from core.settings import Settings

Row = TypeVar("Row")


@dataclass(frozen=True)
class JobFilter:
    """Which jobs are wanted; everything given must hold."""

    statuses: Sequence[Status] = ()
    labels: dict[str, str] = field(default_factory=dict)
    search: str = ""
    """Part of the name."""
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True)
class EventPage:
    rows: Sequence[JobEvent]
    has_more: bool


def prepare_submission(
    recipe: Recipe, priority: int, project_id: str, sessions: Sessions, settings: Settings
) -> Write:
    """Find and check what the recipe names; the write that is returned queues the job."""
    with sessions() as session:
        resolved = resolve(recipe, project_id, session, settings)
    return lambda session: _submitted(session, recipe, resolved, priority, project_id)


def _submitted(
    session: Session, recipe: Recipe, resolved: Resolved, priority: int, project_id: str
) -> Answer:
    _hold_dataset(session, resolved.dataset.storage_key)
    row = submission.submit(
        session,
        project_id=project_id,
        recipe=recipe,
        inputs=resolved.inputs(),
        priority=priority,
    )
    session.refresh(row)
    shown = Job.of(row)
    return Answer(202, shown.model_dump(mode="json"), {"Location": shown.links["self"]})


def _hold_dataset(session: Session, storage_key: str | None) -> None:
    """Keep the dataset from being deleted before the job that reads it is there."""
    if storage_key is None:
        return
    query = select(Dataset.id).where(Dataset.storage_key == storage_key)
    if session.scalar(query.with_for_update()) is None:
        raise DataError("the dataset has just been deleted", pointer="/task/dataset/id")


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
    return _asked(requests.cancel, session, project_id, job_id)


def _asked(
    request: Callable[[Session, str, str], JobTable], session: Session, project_id: str, job_id: str
) -> JobTable:
    """Core's refusals as the interface names them."""
    try:
        return request(session, project_id, job_id)
    except NotFound:
        raise not_found("job", job_id) from None
    except IllegalTransition as error:
        raise Problem("illegal_transition", str(error)) from None


def stages(session: Session, project_id: str, job_id: str) -> Sequence[JobStage]:
    return _of_job(session, project_id, job_id, select(JobStage), JobStage.position)


def layers(session: Session, project_id: str, job_id: str) -> Sequence[JobLayer]:
    return _of_job(session, project_id, job_id, select(JobLayer), JobLayer.position)


def metrics(session: Session, project_id: str, job_id: str) -> Sequence[JobMetric]:
    return _of_job(session, project_id, job_id, select(JobMetric), JobMetric.phase)


def attempts(session: Session, project_id: str, job_id: str) -> Sequence[JobAttempt]:
    return _of_job(session, project_id, job_id, select(JobAttempt), JobAttempt.epoch)


def _of_job(
    session: Session,
    project_id: str,
    job_id: str,
    query: Select[Row],
    order: InstrumentedAttribute[Any],
) -> Sequence[Row]:
    """All rows of one table that belong to a job of this project."""
    get(session, project_id, job_id)
    table = order.class_
    return session.scalars(query.where(table.job_id == job_id).order_by(order)).all()


def events(session: Session, project_id: str, job_id: str, after: int, limit: int) -> EventPage:
    """Events with a seq beyond `after`, oldest first."""
    get(session, project_id, job_id)
    query = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.seq > after)
    rows = session.scalars(query.order_by(JobEvent.seq).limit(limit + 1)).all()
    return EventPage(rows[:limit], has_more=len(rows) > limit)
