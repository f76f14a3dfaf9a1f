"""Drops what the projects' retention policies say has had its time."""

from collections.abc import Iterator
from dataclasses import dataclass

import structlog
from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from core.database.clock import database_now
from core.database.sessions import Sessions, read_only
from core.database.tables import Artifact, Job, JobEvent
from core.jobs import retention
from core.jobs.orphans import discard
from core.jobs.transitions import append, write
from core.storage.storage import Storage

log = structlog.get_logger(__name__)

AT_ONCE = 100
"""Jobs of one project that a round looks after: what is left is for the next."""


@dataclass(frozen=True)
class DueArtifact:
    job_id: str
    prefix: str


def drop_artifacts(sessions: Sessions, storage: Storage) -> list[str]:
    """Files of artifacts: first the rows, then the bytes. The jobs that lost theirs.

    A crash between the two, or storage that is away, leaves files that no row names:
    `core.jobs.orphans` collects them.
    """
    dropped = []
    with read_only(sessions)() as session:
        due = list(_due_artifacts(session))
    for artifact, is_due in due:
        with sessions.begin() as session:
            taken = _forget_artifact(session, artifact, is_due)
        if taken:
            discard(storage, artifact.prefix)
            log.info("artifact.dropped", job_id=artifact.job_id)
            dropped.append(artifact.job_id)
    return dropped


def drop_events(sessions: Sessions) -> int:
    """Events but for changes of state; how many."""
    dropped = 0
    with read_only(sessions)() as session:
        policies = retention.policies(session)
    for project_id, policy in policies.items():
        if policy.events_days is not None:
            dropped += _drop_events_of(sessions, project_id, policy.events_days)
    return dropped


def _due_artifacts(session: Session) -> Iterator[tuple[DueArtifact, ColumnElement[bool]]]:
    for project_id, policy in retention.policies(session).items():
        if policy.artifacts_days is not None:
            is_due = retention.artifact_is_due(project_id, policy.artifacts_days)
            query = select(Job.id, Job.artifact_prefix).where(is_due).limit(AT_ONCE)
            for job_id, prefix in session.execute(query):
                if prefix is not None:
                    yield DueArtifact(job_id, prefix), is_due


def _forget_artifact(session: Session, artifact: DueArtifact, is_due: ColumnElement[bool]) -> bool:
    """False where the job was changed, deleted or taken up as a model since it was looked at."""
    forgotten = write(
        session,
        Job.id == artifact.job_id,
        is_due,
        artifact_prefix=None,
        artifact_dropped_at=database_now(),
    )
    if forgotten is None:
        return False
    append(session, forgotten, "job.artifact_dropped", {"reason": "retention"})
    session.execute(delete(Artifact).where(Artifact.job_id == artifact.job_id))
    return True


def _drop_events_of(sessions: Sessions, project_id: str, days: float) -> int:
    """A job's at a time: no transaction holds the database for long."""
    are_due = retention.events_are_due(project_id, days)
    with read_only(sessions)() as session:
        jobs = session.scalars(
            select(JobEvent.job_id).where(are_due).distinct().limit(AT_ONCE)
        ).all()
    count = 0
    for job_id in jobs:
        with sessions.begin() as session:
            gone = session.execute(
                delete(JobEvent)
                .where(JobEvent.job_id == job_id, are_due)
                .returning(JobEvent.seq)
                .execution_options(synchronize_session=False)
            ).all()
        count += len(gone)
    return count
