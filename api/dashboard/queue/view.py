"""Workers and queues, as the jobs' rows tell: who works on what, and what waits for whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.dashboard import words
from api.dashboard.moment import Moment
from core.database.states import JobState
from core.database.tables import Job

QUIET_AFTER_S = 30
"""A heartbeat this old is remarked upon; the reaper decides by the lease."""


@dataclass(frozen=True)
class WorkerLine:
    owner: str
    job_name: str
    job_href: str
    stage: str
    since: Moment | None
    heartbeat: Moment | None
    is_quiet: bool
    attempt: int


@dataclass(frozen=True)
class QueueLine:
    name: str
    queued: int
    paused: int
    oldest: Moment | None
    """The first of those that wait for a worker."""


def worker_lines(session: Session, project_id: str, now: datetime) -> list[WorkerLine]:
    query = select(Job).where(Job.project_id == project_id, Job.state == JobState.RUNNING)
    return [_worker_line(job, now) for job in session.scalars(query.order_by(Job.owner))]


def _worker_line(job: Job, now: datetime) -> WorkerLine:
    beat = job.heartbeat_at
    return WorkerLine(
        owner=job.owner or "",
        job_name=job.name or "unnamed job",
        job_href=f"/dashboard/jobs/{job.id}",
        stage=job.stage or "starting",
        since=None if job.started_at is None else Moment.of(job.started_at, now),
        heartbeat=None if beat is None else Moment.of(beat, now),
        is_quiet=beat is not None and (now - beat).total_seconds() > QUIET_AFTER_S,
        attempt=job.attempts,
    )


def queue_lines(session: Session, project_id: str, now: datetime) -> Sequence[QueueLine]:
    waiting = (JobState.QUEUED, JobState.PAUSED)
    rows = session.execute(
        select(Job.queue, Job.state, func.count(), func.min(Job.created_at))
        .where(Job.project_id == project_id, Job.state.in_(waiting))
        .group_by(Job.queue, Job.state)
    ).all()
    names = sorted({row[0] for row in rows}) or ["default"]
    counts = {(queue, state): (count, oldest) for queue, state, count, oldest in rows}
    return [_queue_line(name, counts, now) for name in names]


def _queue_line(
    name: str, counts: dict[tuple[str, JobState], tuple[int, datetime]], now: datetime
) -> QueueLine:
    queued, oldest = counts.get((name, JobState.QUEUED), (0, None))
    paused, _ = counts.get((name, JobState.PAUSED), (0, None))
    return QueueLine(name, queued, paused, None if oldest is None else Moment.of(oldest, now))


def total_words(workers: Sequence[WorkerLine], queues: Sequence[QueueLine]) -> str:
    """2 running, 14 waiting"""
    waiting = sum(queue.queued for queue in queues)
    return f"{words.counted_of(len(workers), 'job')} running, {waiting:,} waiting"
