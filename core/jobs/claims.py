"""Claims: taking the best queued job, holding it by a lease, and losing it to a newer epoch.

`epoch` is the fencing token: every write of an attempt first changes the job's row under
``id AND epoch AND state = 'running'`` in the same transaction, so that an attempt whose lease was
given to another can change nothing any more.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Insert, ScalarSelect, and_, func, insert, or_, select, update
from sqlalchemy.orm import Session

from core.database.clock import database_now
from core.database.states import JobState, Requested
from core.database.tables import Job, JobAttempt
from core.jobs.errors import Fenced
from core.jobs.transitions import move


@dataclass(frozen=True)
class Claim:
    """One attempt's hold on a job."""

    job_id: str
    epoch: int

    @property
    def guard(self) -> ColumnElement[bool]:
        """The condition of every write: this attempt still holds the job."""
        return and_(Job.id == self.job_id, Job.epoch == self.epoch, Job.state == JobState.RUNNING)


@dataclass(frozen=True)
class ClaimedJob:
    """What an attempt needs to know of its job."""

    claim: Claim
    project_id: str
    queue: str
    recipe: dict[str, Any]
    inputs: dict[str, Any]


@dataclass(frozen=True)
class Held:
    """The job's row as a guarded write found it."""

    last_seq: int
    requested: Requested | None


def claim_next(session: Session, queue: str, owner: str, lease_s: float) -> ClaimedJob | None:
    """Take the queue's best row: highest priority, then oldest. None: nothing is waiting.

    One conditional UPDATE; of any number of claimants each row goes to one.
    """
    moved = move(
        session,
        JobState.QUEUED,
        JobState.RUNNING,
        Job.id == _best_queued(queue),
        data={"owner": owner},
        epoch=Job.epoch + 1,
        attempts=Job.attempts + 1,
        owner=owner,
        lease_until=database_now(lease_s),
        heartbeat_at=database_now(),
        started_at=func.coalesce(Job.started_at, database_now()),
        requested=None,
    )
    if moved is None:
        return None
    claim = Claim(moved.job_id, moved.epoch)
    session.execute(_new_attempt(claim, moved.project_id, owner))
    return _described(session, claim)


def hold(session: Session, claim: Claim, *, events: int = 0, **values: Any) -> Held:
    """The guard: take `events` numbers for the job's history and change `values`, or be Fenced.

    Call it first in every transaction of an attempt; the row stays locked until its end.
    """
    row = session.execute(
        update(Job)
        .where(claim.guard)
        .values(last_seq=Job.last_seq + events, **values)
        .returning(Job.last_seq, Job.requested)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if row is None:
        raise Fenced(claim.job_id, claim.epoch)
    return Held(last_seq=row.last_seq, requested=row.requested)


def renew(session: Session, claim: Claim, lease_s: float) -> Requested | None:
    """A heartbeat: a new lease, and what was asked of the job meanwhile. Fenced when it is lost."""
    held = hold(session, claim, lease_until=database_now(lease_s), heartbeat_at=database_now())
    return held.requested


def look(session: Session, claim: Claim) -> Requested | None:
    """What was asked of the job, by a read alone. Fenced when the claim is lost."""
    found = session.execute(select(Job.requested).where(claim.guard)).one_or_none()
    if found is None:
        raise Fenced(claim.job_id, claim.epoch)
    (requested,) = found
    return requested


def waiting() -> ColumnElement[bool]:
    """The condition of a row that may be claimed now."""
    due = or_(Job.not_before.is_(None), Job.not_before <= database_now())
    return and_(Job.state == JobState.QUEUED, due)


def _best_queued(queue: str) -> ScalarSelect[str]:
    """`=` and not IN: PostgreSQL then runs this once, and SKIP LOCKED passes claimed rows by."""
    return (
        select(Job.id)
        .where(Job.queue == queue, waiting())
        .order_by(Job.priority.desc(), Job.created_at, Job.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )


def _new_attempt(claim: Claim, project_id: str, owner: str) -> Insert:
    return insert(JobAttempt).values(
        job_id=claim.job_id,
        project_id=project_id,
        epoch=claim.epoch,
        owner=owner,
        started_at=database_now(),
    )


def _described(session: Session, claim: Claim) -> ClaimedJob:
    job = session.execute(
        select(Job.project_id, Job.queue, Job.recipe, Job.inputs).where(Job.id == claim.job_id)
    ).one()
    return ClaimedJob(claim, *job)
