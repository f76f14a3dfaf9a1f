"""The one way a job's state changes: a conditional UPDATE and its event, in one transaction."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, insert, update
from sqlalchemy.orm import Session

from core.database.clock import database_now
from core.database.states import FINISHED, TRANSITIONS, JobState
from core.database.tables import Job, JobAttempt, JobEvent, JobStage
from core.webhooks.announcing import announce


@dataclass(frozen=True)
class Moved:
    """The job as a write that took place left it."""

    job_id: str
    project_id: str
    queue: str
    epoch: int
    seq: int
    """The event number that the write took."""


RETURNED = (Job.id, Job.project_id, Job.queue, Job.epoch, Job.last_seq)


def move(
    session: Session,
    source: JobState,
    target: JobState,
    *conditions: ColumnElement[bool],
    data: dict[str, Any] | None = None,
    **values: Any,
) -> Moved | None:
    """Move the one job that meets the conditions along the transition table.

    None: the job was not there, or not (any more) in `source`; nothing has changed.
    """
    if target not in TRANSITIONS[source]:
        raise ValueError(f"the transition table has no move from {source} to {target}")
    stamps = _stamps(source, target) | {"state": target} | values
    moved = write(session, Job.state == source, *conditions, **stamps)
    if moved is not None:
        append(session, moved, f"job.{target}", data or {})
        announce(session, f"job.{target}", moved.job_id, moved.project_id)
    return moved


def write(session: Session, *conditions: ColumnElement[bool], **values: Any) -> Moved | None:
    """Change the one job that meets the conditions, and take the next event number from it."""
    row = session.execute(
        update(Job)
        .where(*conditions)
        .values(last_seq=Job.last_seq + 1, **values)
        .returning(*RETURNED)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    return None if row is None else Moved(*row)


def append(session: Session, moved: Moved, kind: str, data: dict[str, Any]) -> None:
    """Add the event whose number `write` or `move` took."""
    session.execute(
        insert(JobEvent).values(
            job_id=moved.job_id,
            project_id=moved.project_id,
            seq=moved.seq,
            epoch=moved.epoch,
            type=kind,
            data=data,
            created_at=database_now(),
        )
    )


def end_attempt(session: Session, moved: Moved, outcome: str, detail: str | None = None) -> None:
    """Close the attempt of a job that has just left `running`."""
    session.execute(
        update(JobAttempt)
        .where(JobAttempt.job_id == moved.job_id, JobAttempt.epoch == moved.epoch)
        .values(ended_at=database_now(), outcome=outcome, detail=detail)
    )
    session.execute(
        update(JobStage)
        .where(JobStage.job_id == moved.job_id, JobStage.state == "running")
        .values(state="pending", eta_s=None)
    )


def _stamps(source: JobState, target: JobState) -> dict[str, Any]:
    """The columns that follow from the move itself."""
    stamps: dict[str, Any] = {}
    if source == JobState.RUNNING:
        stamps |= dict.fromkeys(("owner", "lease_until", "requested", "stage", "progress"))
    if source in FINISHED:
        stamps |= dict.fromkeys(("started_at", "finished_at", "finished_epoch", "error"))
        stamps |= {"crashes": 0}
    if target == JobState.QUEUED:
        stamps |= {"rung_at": None, "not_before": None}
    if target in FINISHED:
        stamps |= {"finished_at": database_now(), "finished_epoch": Job.epoch}
    return stamps
