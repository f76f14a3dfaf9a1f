"""Jobs that are submitted together, to choose from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from core.database.clock import database_now
from core.database.identifiers import new_id
from core.database.states import FINISHED, shown_status
from core.database.tables import Job, Sweep
from core.jobs import requests, submission
from core.jobs.errors import SweepUnfinished
from core.jobs.quotas import refuse_full_queue
from core.recipe import Recipe


@dataclass(frozen=True)
class Point:
    recipe: Recipe
    inputs: dict[str, Any]


def submit_sweep(
    session: Session,
    *,
    project_id: str,
    name: str,
    spec: dict[str, Any],
    points: Sequence[Point],
    priority: int = 0,
    max_queued: int = 0,
) -> Sweep:
    """Queue all jobs of a sweep, or none. Ring the doorbell after this session's commit.

    Raises QueueFull where they would be more than may wait.
    """
    refuse_full_queue(session, project_id, max_queued, coming=len(points))
    sweep = Sweep(
        id=new_id("swp"), project_id=project_id, name=name, spec=spec, created_at=database_now()
    )
    session.add(sweep)
    session.flush()
    for point in points:
        submission.submit(
            session,
            project_id=project_id,
            recipe=point.recipe,
            inputs=point.inputs,
            priority=priority,
            sweep_id=sweep.id,
        )
    return sweep


def jobs_of(session: Session, sweep: Sweep) -> Sequence[Job]:
    """In the order in which they were submitted."""
    query = select(Job).where(Job.project_id == sweep.project_id, Job.sweep_id == sweep.id)
    return session.scalars(query.order_by(Job.created_at, Job.id)).all()


def statuses_of(session: Session, sweep_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """How many jobs of each sweep are where, by what callers are shown: one query for all."""
    counts: dict[str, dict[str, int]] = {sweep_id: {} for sweep_id in sweep_ids}
    rows = session.execute(
        select(Job.sweep_id, Job.state, Job.requested, func.count())
        .where(Job.sweep_id.in_(sweep_ids))
        .group_by(Job.sweep_id, Job.state, Job.requested)
        .order_by(Job.sweep_id, Job.state, Job.requested)
    )
    for sweep_id, state, requested, count in rows:
        assert sweep_id is not None
        counts[sweep_id][str(shown_status(state, requested))] = count
    return counts


def cancel_sweep(session: Session, sweep: Sweep) -> None:
    """Cancel every job of it that is not over."""
    for job in jobs_of(session, sweep):
        if "cancel" in requests.allowed(job.state, job.requested):
            requests.cancel(session, sweep.project_id, job.id)


def delete_sweep(session: Session, sweep: Sweep) -> None:
    """Forget that these jobs belong together; the jobs stay.

    Raises SweepUnfinished while one of them is not over.
    """
    unfinished = [job.id for job in jobs_of(session, sweep) if job.state not in FINISHED]
    if unfinished:
        raise SweepUnfinished(sweep.id, len(unfinished))
    session.execute(update(Job).where(Job.sweep_id == sweep.id).values(sweep_id=None))
    session.delete(sweep)
    session.flush()
