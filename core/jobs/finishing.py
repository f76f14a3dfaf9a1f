"""The ends of an attempt: how a running job leaves its worker, each under the guard."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, insert, select
from sqlalchemy.orm import Session

from core.database.clock import database_now
from core.database.states import JobState, Requested
from core.database.tables import Artifact, Job
from core.jobs.claims import Claim, hold
from core.jobs.errors import Fenced
from core.jobs.transitions import end_attempt, move

STATE_ASKED = {Requested.CANCEL: JobState.CANCELLED, Requested.PAUSE: JobState.PAUSED}

FIRST_WAIT_S, LONGEST_WAIT_S = 15.0, 300.0
"""For storage that failed an attempt: doubled with each of the job's attempts."""


@dataclass(frozen=True)
class StoredFile:
    """One file of an artifact, in storage and verified."""

    name: str
    key: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class StoredArtifact:
    """What `core.jobs.publishing.store` put into storage."""

    prefix: str
    sha256: str
    files: tuple[StoredFile, ...]


@dataclass(frozen=True)
class RunningJob:
    """What decides where a job goes whose attempt has crashed or lost its lease."""

    requested: Requested | None
    crashes: int
    max_crashes: int
    stage: str | None


def succeed(
    session: Session, claim: Claim, artifact: StoredArtifact, result: dict[str, Any]
) -> JobState:
    """Publish: artifact rows, pointer, result and state change in this one transaction.

    A job that was asked to cancel before this moment is cancelled, and its artifact not shown.
    """
    if hold(session, claim).requested == Requested.CANCEL:
        return _leave(session, claim, JobState.CANCELLED, "cancelled")
    _add_rows(session, claim, artifact)
    return _leave(
        session,
        claim,
        JobState.SUCCEEDED,
        "succeeded",
        data={"artifact_sha256": artifact.sha256},
        result=result,
        error=None,
        artifact_prefix=artifact.prefix,
        artifact_sha256=artifact.sha256,
    )


def fail(session: Session, claim: Claim, error: dict[str, Any]) -> JobState:
    """The run itself gave up: {stage, code, message, hint, retryable, pointer}."""
    if hold(session, claim).requested == Requested.CANCEL:
        return _leave(session, claim, JobState.CANCELLED, "cancelled", detail=error["message"])
    return _leave(
        session,
        claim,
        JobState.FAILED,
        "failed",
        detail=f"{error['code']}: {error['message']}",
        data=error,
        error=error,
    )


def stand_down(session: Session, claim: Claim, detail: str | None = None) -> JobState:
    """The runner stopped because it was asked to: cancelled or paused, else handed over."""
    requested = hold(session, claim).requested
    if requested is not None:
        target = STATE_ASKED[requested]
        return _leave(session, claim, target, target.value, detail=detail)
    return _leave(
        session,
        claim,
        JobState.QUEUED,
        "handed_over",
        detail=detail,
        data={"reason": "handed_over"},
    )


def put_off(session: Session, claim: Claim, detail: str) -> JobState:
    """Storage was away or full: queued again for later, later each time, and no crash counted."""
    requested = hold(session, claim).requested
    if requested is not None:
        target = STATE_ASKED[requested]
        return _leave(session, claim, target, target.value, detail=detail)
    attempts = session.scalars(select(Job.attempts).where(claim.guard)).one()
    wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** min(attempts - 1, 10))
    return _leave(
        session,
        claim,
        JobState.QUEUED,
        "storage_failed",
        detail=detail,
        data={"reason": "storage_failed", "detail": detail, "again_in_s": wait_s},
        not_before=database_now(wait_s),
    )


def crash(session: Session, claim: Claim, detail: str) -> JobState:
    """The runner died: queued again with one more crash, or failed at the last one allowed."""
    hold(session, claim)
    job = session.execute(
        select(Job.requested, Job.crashes, Job.max_crashes, Job.stage).where(claim.guard)
    ).one()
    return after_crash(session, claim, RunningJob(*job), "crashed", detail)


def after_crash(
    session: Session,
    claim: Claim,
    job: RunningJob,
    outcome: str,
    detail: str,
    *conditions: ColumnElement[bool],
) -> JobState:
    """Where a job goes whose attempt ended without a word; Fenced when it went elsewhere first."""
    crashes = job.crashes + 1
    if job.requested is not None:
        target, values = STATE_ASKED[job.requested], {}
    elif crashes >= job.max_crashes:
        target, values = JobState.FAILED, {"error": _crash_error(job, detail)}
    else:
        target, values = JobState.QUEUED, {}
    data = {"reason": outcome, "detail": detail, "crashes": crashes}
    return _leave(
        session,
        claim,
        target,
        outcome,
        *conditions,
        detail=detail,
        data=data,
        crashes=crashes,
        **values,
    )


def _leave(
    session: Session,
    claim: Claim,
    target: JobState,
    outcome: str,
    *conditions: ColumnElement[bool],
    detail: str | None = None,
    data: dict[str, Any] | None = None,
    **values: Any,
) -> JobState:
    moved = move(session, JobState.RUNNING, target, claim.guard, *conditions, data=data, **values)
    if moved is None:
        raise Fenced(claim.job_id, claim.epoch)
    end_attempt(session, moved, outcome, detail)
    return target


def _add_rows(session: Session, claim: Claim, artifact: StoredArtifact) -> None:
    project_id = session.scalars(select(Job.project_id).where(claim.guard)).one()
    owner = {"job_id": claim.job_id, "project_id": project_id, "epoch": claim.epoch}
    session.execute(
        insert(Artifact).values(created_at=database_now()),
        [
            owner | {"name": f.name, "storage_key": f.key, "bytes": f.bytes, "sha256": f.sha256}
            for f in artifact.files
        ],
    )


def _crash_error(job: RunningJob, detail: str) -> dict[str, Any]:
    return {
        "stage": job.stage,
        "code": "worker_crashed",
        "message": f"the run crashed {job.crashes + 1} times; the last time: {detail}",
        "hint": "the job may need more memory than its worker has",
        "retryable": True,
        "pointer": None,
    }
