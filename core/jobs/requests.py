"""What a caller may ask of a job: cancel, pause, resume, retry, delete.

What a state allows follows from the transition table; nothing else decides it.
"""

from typing import Literal, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.database.states import FINISHED, TRANSITIONS, JobState, Requested, shown_status
from core.database.tables import Job
from core.jobs.errors import IllegalTransition, InUse, NotFound
from core.jobs.quotas import refuse_full_queue
from core.jobs.readers import reads_result_of
from core.jobs.transitions import append, move, write

Verb = Literal["cancel", "pause", "resume", "retry", "delete"]


class Ask(NamedTuple):
    """Where a verb leads, and the only states it is for (all that the table leads from there)."""

    target: JobState
    sources: frozenset[JobState] = frozenset(JobState)


ASKS: dict[Verb, Ask] = {
    "cancel": Ask(JobState.CANCELLED),
    "pause": Ask(JobState.PAUSED),
    "resume": Ask(JobState.QUEUED, frozenset({JobState.PAUSED})),
    "retry": Ask(JobState.QUEUED, FINISHED),
}
"""`delete` leads nowhere: it is for every finished job."""


def allowed(state: JobState, requested: Requested | None = None) -> tuple[Verb, ...]:
    """What may be asked of a job now. A cancel is not taken back by a pause."""
    verbs = [
        verb
        for verb, ask in ASKS.items()
        if state in ask.sources
        and ask.target in TRANSITIONS[state]
        and not (verb == "pause" and requested == Requested.CANCEL)
    ]
    return (*verbs, "delete") if state in FINISHED else tuple(verbs)


def cancel(session: Session, project_id: str, job_id: str) -> Job:
    """A waiting job is cancelled at once, a running one is asked to stop; asking twice is fine."""
    job = _allowing("cancel", session, project_id, job_id)
    if job.state == JobState.RUNNING:
        return _ask(session, job, Requested.CANCEL)
    return _move(session, job, "cancel")


def pause(session: Session, project_id: str, job_id: str) -> Job:
    """A queued job is paused at once, a running one is asked to stand down at a safe point."""
    job = _allowing("pause", session, project_id, job_id)
    if job.state == JobState.RUNNING:
        return _ask(session, job, Requested.PAUSE)
    return _move(session, job, "pause")


def resume(session: Session, project_id: str, job_id: str) -> Job:
    """A paused job is queued again. Ring the doorbell after the commit."""
    job = _allowing("resume", session, project_id, job_id)
    return _move(session, job, "resume")


def retry(session: Session, project_id: str, job_id: str, max_queued: int = 0) -> Job:
    """A failed or cancelled job is queued again, its crashes forgotten, its work kept.

    It counts against the queue like a new one. Ring the doorbell after the commit.
    """
    job = _allowing("retry", session, project_id, job_id)
    refuse_full_queue(session, project_id, max_queued)
    return _move(session, job, "retry")


def delete(session: Session, project_id: str, job_id: str) -> None:
    """Remove a finished job and all rows of it. Its files are for after the commit.

    Raises InUse while an unfinished job takes this one's result as its model.
    """
    job = _allowing("delete", session, project_id, job_id)
    reader = session.scalar(select(Job.id).where(reads_result_of(Job, project_id, job_id)).limit(1))
    if reader is not None:
        raise InUse(job_id, reader)
    session.delete(job)
    session.flush()


def locked(session: Session, project_id: str, job_id: str) -> Job:
    """The job as it is now, unchangeable by others until this transaction ends."""
    job = session.scalars(
        select(Job)
        .where(Job.id == job_id, Job.project_id == project_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if job is None:
        raise NotFound(job_id)
    return job


def _allowing(verb: Verb, session: Session, project_id: str, job_id: str) -> Job:
    job = locked(session, project_id, job_id)
    if verb not in allowed(job.state, job.requested):
        raise _illegal(job, verb)
    return job


def _illegal(job: Job, verb: Verb) -> IllegalTransition:
    status = shown_status(job.state, job.requested)
    return IllegalTransition(job.id, status, verb, allowed(job.state, job.requested))


def _ask(session: Session, job: Job, requested: Requested) -> Job:
    """Leave a request that the job's supervisor looks at between events."""
    if job.requested == requested:
        return job
    asked = write(session, Job.id == job.id, Job.state == JobState.RUNNING, requested=requested)
    if asked is None:
        raise _illegal(job, requested.value)
    append(session, asked, {"cancel": "job.cancelling", "pause": "job.pausing"}[requested], {})
    session.refresh(job)
    return job


def _move(session: Session, job: Job, verb: Verb) -> Job:
    target = ASKS[verb].target
    if move(session, job.state, target, Job.id == job.id, data={"reason": verb}) is None:
        raise _illegal(job, verb)
    session.refresh(job)
    return job
