"""How many jobs of one project may wait, exactly, whatever comes at once."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.database.states import JobState
from core.database.tables import Job, Project
from core.jobs.errors import QueueFull

WAITING = (JobState.QUEUED, JobState.PAUSED)
"""A paused job counts: it comes back without being asked whether there is room."""


def refuse_full_queue(session: Session, project_id: str, limit: int, coming: int = 1) -> None:
    """QueueFull where more than `limit` jobs would wait with those that come; 0 is no limit.

    Until this transaction ends no other one can count: on PostgreSQL the project's row is locked
    (rows that name it may still be added), on SQLite the transaction began IMMEDIATE.
    """
    if limit == 0:
        return
    turn = select(Project.id).where(Project.id == project_id).with_for_update(key_share=True)
    session.execute(turn)
    waiting = (
        select(func.count())
        .select_from(Job)
        .where(Job.project_id == project_id, Job.state.in_(WAITING))
    )
    if session.scalars(waiting).one() + coming > limit:
        raise QueueFull(limit)
