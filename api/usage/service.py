"""What a project has used: one query for each number, nothing kept beside the tables themselves."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from sqlalchemy import BigInteger, ColumnElement, Select, case, cast, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from api.jobs.schemas import Status
from api.usage.schemas import StoredBytes, Usage
from core.database.clock import database_now, seconds_between
from core.database.states import JobState, shown_status
from core.database.tables import Artifact, CacheEntry, Dataset, Job, JobAttempt, UploadedModel


@dataclass(frozen=True)
class Span:
    """From `start` to before `end`."""

    start: datetime
    end: datetime

    def holds(self, moment: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
        return (moment >= self.start) & (moment < self.end)


def usage(session: Session, project_id: str, span: Span) -> Usage:
    return Usage(
        start=span.start,
        end=span.end,
        jobs=jobs_by_status(session, project_id, span),
        compute_seconds=compute_seconds(session, project_id, span),
        params_saved=params_saved(session, project_id, span),
        stored_bytes=stored_bytes(session, project_id),
    )


def jobs_by_status(session: Session, project_id: str, span: Span) -> dict[Status, int]:
    query = (
        select(Job.state, Job.requested, func.count())
        .where(Job.project_id == project_id, span.holds(Job.created_at))
        .group_by(Job.state, Job.requested)
    )
    counts: dict[str, int] = dict.fromkeys(get_args(Status), 0)
    for state, requested, count in session.execute(query):
        counts[shown_status(state, requested)] += count
    return counts  # type: ignore[return-value]  # every shown status is a Status


def compute_seconds(session: Session, project_id: str, span: Span) -> float:
    """Each attempt from its claim to its end, cut to the span."""
    ended = func.coalesce(JobAttempt.ended_at, database_now())
    start = case((JobAttempt.started_at < span.start, span.start), else_=JobAttempt.started_at)
    end = case((ended > span.end, span.end), else_=ended)
    query = select(func.coalesce(func.sum(seconds_between(start, end)), 0.0)).where(
        JobAttempt.project_id == project_id,
        JobAttempt.started_at < span.end,
        ended > span.start,
    )
    return round(session.scalars(query).one(), 3)


def params_saved(session: Session, project_id: str, span: Span) -> int:
    params = Job.result["params"]["model"]
    before, after = (cast(params[name].as_string(), BigInteger) for name in ("before", "after"))
    return _total(
        session,
        select(func.sum(before - after)).where(
            Job.project_id == project_id,
            Job.state == JobState.SUCCEEDED,
            span.holds(Job.finished_at),
        ),
    )


def stored_bytes(session: Session, project_id: str) -> StoredBytes:
    def total(table: type[Dataset | UploadedModel | Artifact | CacheEntry]) -> int:
        owned = table.project_id == project_id
        return _total(session, select(func.sum(table.bytes)).where(owned))

    return StoredBytes(
        datasets=total(Dataset),
        models=total(UploadedModel),
        artifacts=total(Artifact),
        cache=total(CacheEntry),
    )


def _total(session: Session, query: Select[int]) -> int:
    """The sum of integers, which PostgreSQL gives as a decimal; 0 where there are no rows."""
    return int(session.scalars(query).one() or 0)
