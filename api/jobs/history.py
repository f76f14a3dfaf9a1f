"""What a job has left behind: rows of one table each, told of one job."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from sqlalchemy import ColumnElement, Select, and_, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from api.jobs.service import get
from core.database.tables import (
    JobAttempt,
    JobChangedAnswer,
    JobEvent,
    JobLayer,
    JobMetric,
    JobStage,
)

Row = TypeVar("Row")
Level = Literal["info", "warning", "error"]

LEVELS: tuple[Level, ...] = ("info", "warning", "error")
"""Each is worth more notice than those before it."""
FAILED = "job.failed"


@dataclass(frozen=True)
class NumberedRows(Generic[Row]):
    """Rows in the order of their number, beyond a given one."""

    rows: Sequence[Row]
    next_number: int | None
    """The last row's, where more rows follow."""


def stages(session: Session, project_id: str, job_id: str) -> Sequence[JobStage]:
    return _of_job(session, project_id, job_id, select(JobStage), JobStage.position)


def changed_answers(session: Session, project_id: str, job_id: str) -> Sequence[JobChangedAnswer]:
    query = select(JobChangedAnswer)
    return _of_job(session, project_id, job_id, query, JobChangedAnswer.position)


def layers(session: Session, project_id: str, job_id: str) -> Sequence[JobLayer]:
    return _of_job(session, project_id, job_id, select(JobLayer), JobLayer.position)


def metrics(session: Session, project_id: str, job_id: str) -> Sequence[JobMetric]:
    return _of_job(session, project_id, job_id, select(JobMetric), JobMetric.phase)


def attempts(
    session: Session, project_id: str, job_id: str, after: int, limit: int
) -> NumberedRows[JobAttempt]:
    """Attempts with an epoch beyond `after`, oldest first."""
    get(session, project_id, job_id)
    query = select(JobAttempt).where(JobAttempt.job_id == job_id)
    return _beyond(session, query, JobAttempt.epoch, after, limit)


def events(
    session: Session, project_id: str, job_id: str, after: int, limit: int
) -> NumberedRows[JobEvent]:
    """Events with a seq beyond `after`, oldest first."""
    get(session, project_id, job_id)
    query = select(JobEvent).where(JobEvent.job_id == job_id)
    return _beyond(session, query, JobEvent.seq, after, limit)


def logs(
    session: Session, project_id: str, job_id: str, level: Level, after: int, limit: int
) -> NumberedRows[JobEvent]:
    """Events that are log lines of this level or above; what the job failed of is an error."""
    get(session, project_id, job_id)
    query = select(JobEvent).where(JobEvent.job_id == job_id, _at_least(level))
    return _beyond(session, query, JobEvent.seq, after, limit)


def _at_least(level: Level) -> ColumnElement[bool]:
    wanted = LEVELS[LEVELS.index(level) :]
    line = and_(JobEvent.type == "log", JobEvent.data["level"].as_string().in_(wanted))
    return or_(line, JobEvent.type == FAILED)


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


def _beyond(
    session: Session,
    query: Select[Row],
    number: InstrumentedAttribute[int],
    after: int,
    limit: int,
) -> NumberedRows[Row]:
    rows = session.scalars(query.where(number > after).order_by(number).limit(limit + 1)).all()
    more, rows = len(rows) > limit, rows[:limit]
    return NumberedRows(rows, getattr(rows[-1], number.key) if more else None)
