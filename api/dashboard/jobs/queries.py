"""What the pages read: a few queries a page, however many jobs are on it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.jobs import service
from api.jobs.schemas import Status
from api.jobs.service import JobFilter
from api.pagination import PageRequest
from core.database.states import JobState
from core.database.tables import Job, JobEvent, JobMetric, JobStage

JOBS_ON_A_PAGE = 25
EVENTS_ON_A_PAGE = 100
POINTS_IN_A_CURVE = 400
UNTOLD_EVENTS = (
    "stage.started",
    "stage.progress",
    "validation.measured",
    "structure.reported",
    "stage.checkpoint",
    "stage.finished",
    "cache.used",
    "spectra.ready",
    "layers.reported",
    "metric.measured",
    "answers.compared",
)
"""Shown as bars and drawings, or too fine to be news."""
SHOWN_IN: dict[JobState | None, tuple[Status, ...]] = {
    JobState.QUEUED: ("queued",),
    JobState.RUNNING: ("running", "pausing", "cancelling"),
    JobState.PAUSED: ("paused",),
    JobState.SUCCEEDED: ("succeeded",),
    JobState.FAILED: ("failed",),
    JobState.CANCELLED: ("cancelled",),
}
"""What callers are shown of jobs in a state; nothing for None, which asks for all."""


@dataclass(frozen=True)
class ListedJob:
    job: Job
    stages: Sequence[JobStage]
    metrics: Sequence[JobMetric]


@dataclass(frozen=True)
class JobsPage:
    jobs: Sequence[ListedJob]
    counts: dict[JobState, int]
    """Jobs of the project in each state, whatever is searched for."""
    next_cursor: str | None


@dataclass(frozen=True)
class LossPoint:
    step: int
    total: int
    loss: float


@dataclass(frozen=True)
class WholeJob:
    job: Job
    stages: Sequence[JobStage]
    metrics: Sequence[JobMetric]
    events: Sequence[JobEvent]
    """Newest first."""
    losses: dict[str, list[LossPoint]]
    """By training stage, in the order of the steps."""


def jobs_page(
    session: Session, project_id: str, state: JobState | None, name: str, after: str | None
) -> JobsPage:
    wanted = JobFilter(statuses=SHOWN_IN.get(state, ()), search=name)
    page = PageRequest(limit=JOBS_ON_A_PAGE, after=after)
    found = service.listed(session, project_id, wanted, page)
    ids = [job.id for job in found.rows]
    stages = _by_job(session.scalars(_of_jobs(JobStage, ids).order_by(JobStage.position)))
    metrics = _by_job(session.scalars(_of_jobs(JobMetric, ids)))
    jobs = [ListedJob(job, stages[job.id], metrics[job.id]) for job in found.rows]
    return JobsPage(jobs, _counts(session, project_id), found.next_cursor)


def whole_job(session: Session, job: Job) -> WholeJob:
    return WholeJob(
        job=job,
        stages=session.scalars(_of_jobs(JobStage, [job.id]).order_by(JobStage.position)).all(),
        metrics=session.scalars(_of_jobs(JobMetric, [job.id])).all(),
        events=_news(session, job),
        losses=_losses(session, job),
    )


def _counts(session: Session, project_id: str) -> dict[JobState, int]:
    counted = (
        select(Job.state, func.count()).where(Job.project_id == project_id).group_by(Job.state)
    )
    return dict(session.execute(counted).all())


def _of_jobs(table: Any, ids: Sequence[str]) -> Any:
    return select(table).where(table.job_id.in_(ids))


def _by_job(rows: Iterable[Any]) -> defaultdict[str, list[Any]]:
    grouped: defaultdict[str, list[Any]] = defaultdict(list)
    for row in rows:
        grouped[row.job_id].append(row)
    return grouped


def _news(session: Session, job: Job) -> Sequence[JobEvent]:
    query = select(JobEvent).where(JobEvent.job_id == job.id, JobEvent.type.not_in(UNTOLD_EVENTS))
    return session.scalars(query.order_by(JobEvent.seq.desc()).limit(EVENTS_ON_A_PAGE)).all()


def _losses(session: Session, job: Job) -> dict[str, list[LossPoint]]:
    """Every n-th report, so that a long training costs the page no more than a short one."""
    every = job.last_seq // POINTS_IN_A_CURVE + 1
    query = select(JobEvent.data).where(
        JobEvent.job_id == job.id,
        JobEvent.type == "stage.progress",
        JobEvent.seq % every == 0,
    )
    losses: defaultdict[str, list[LossPoint]] = defaultdict(list)
    for data in session.scalars(query.order_by(JobEvent.seq)):
        if "loss" in data["values"]:
            point = LossPoint(data["done"], data["total"], data["values"]["loss"])
            losses[data["stage"]].append(point)
    return dict(losses)
