"""What of a job may change after it was submitted: its name, its labels, its priority."""

from typing import Any

from sqlalchemy.orm import Session

from core.database.states import FINISHED
from core.database.tables import Job
from core.jobs.errors import FieldFixed
from core.jobs.transitions import append, write


def change(session: Session, job: Job, **values: Any) -> Job:
    """Give a job that `requests.locked` found these values; its recipe stays as submitted.

    A queued job's priority counts from the commit on. Raises FieldFixed for the priority of a
    finished job.
    """
    changed = {name: value for name, value in values.items() if getattr(job, name) != value}
    if "priority" in changed and job.state in FINISHED:
        raise FieldFixed(job.id, job.state, "priority")
    if changed:
        written = write(session, Job.id == job.id, **changed)
        assert written is not None, "the row is locked"
        append(session, written, "job.changed", changed)
        session.refresh(job)
    return job
