"""What a caller may ask of a job: cancel, pause, resume, retry."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.database.states import TRANSITIONS, JobState, Requested
from core.database.tables import Job
from core.jobs.errors import IllegalTransition, NotFound
from core.jobs.transitions import append, move, write


def cancel(session: Session, project_id: str, job_id: str) -> Job:
    """A waiting job is cancelled at once, a running one is asked to stop; asking twice is fine."""
    job = _locked(session, project_id, job_id)
    if job.state == JobState.RUNNING:
        return _ask(session, job, Requested.CANCEL)
    return _move(session, job, JobState.CANCELLED, "cancel")


def pause(session: Session, project_id: str, job_id: str) -> Job:
    """A queued job is paused at once, a running one is asked to stand down at a safe point."""
    job = _locked(session, project_id, job_id)
    if job.requested == Requested.CANCEL:
        raise IllegalTransition(job.id, job.state, "pause")
    if job.state == JobState.RUNNING:
        return _ask(session, job, Requested.PAUSE)
    return _move(session, job, JobState.PAUSED, "pause")


def resume(session: Session, project_id: str, job_id: str) -> Job:
    """A paused job is queued again. Ring the doorbell after the commit."""
    job = _locked(session, project_id, job_id)
    if job.state != JobState.PAUSED:
        raise IllegalTransition(job.id, job.state, "resume")
    return _move(session, job, JobState.QUEUED, "resume")


def retry(session: Session, project_id: str, job_id: str) -> Job:
    """A failed or cancelled job is queued again, its crashes forgotten, its work kept."""
    job = _locked(session, project_id, job_id)
    if job.state not in {JobState.FAILED, JobState.CANCELLED}:
        raise IllegalTransition(job.id, job.state, "retry")
    return _move(session, job, JobState.QUEUED, "retry")


def _locked(session: Session, project_id: str, job_id: str) -> Job:
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


def _ask(session: Session, job: Job, requested: Requested) -> Job:
    """Leave a request that the job's supervisor looks at between events."""
    if job.requested == requested:
        return job
    asked = write(session, Job.id == job.id, Job.state == JobState.RUNNING, requested=requested)
    if asked is None:
        raise IllegalTransition(job.id, job.state, requested)
    append(session, asked, {"cancel": "job.cancelling", "pause": "job.pausing"}[requested], {})
    session.refresh(job)
    return job


def _move(session: Session, job: Job, target: JobState, asked: str) -> Job:
    if target not in TRANSITIONS[job.state]:
        raise IllegalTransition(job.id, job.state, asked)
    if move(session, job.state, target, Job.id == job.id, data={"reason": asked}) is None:
        raise IllegalTransition(job.id, job.state, asked)
    session.refresh(job)
    return job
