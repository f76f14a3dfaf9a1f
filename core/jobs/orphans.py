"""Files in storage that no row names, and none ever will: uploads and artifacts cut off halfway."""

import re
import time
from collections.abc import Iterator
from typing import NamedTuple

import structlog
from sqlalchemy import select, union
from sqlalchemy.orm import Session

from core.database.identifiers import ALPHABET, made_at
from core.database.sessions import Sessions, read_only
from core.database.states import JobState
from core.database.tables import Artifact, Dataset, Job, UploadedModel
from core.storage.storage import Storage, StorageUnavailable

log = structlog.get_logger(__name__)

ABANDONED_AFTER_S = 86_400.0
"""A row that has not come a day after its identifier was made never comes."""
DIGITS = rf"[{ALPHABET}]{{26}}"
UPLOAD = re.compile(rf"(?:datasets|models)/(?:[^/]+/)*?(?P<id>(?:ds|md)_{DIGITS})[^/]*")
ATTEMPT = re.compile(rf"jobs/(?P<job_id>job_{DIGITS})/e(?P<epoch>[0-9]{{1,9}})(?=/)")


class AttemptFolder(NamedTuple):
    """What one attempt put into storage."""

    job_id: str
    epoch: int


def remove_orphans(sessions: Sessions, storage: Storage) -> list[str]:
    """Delete what no row names; the files and folders that went, sorted."""
    uploads, attempts = _uploads(storage), _attempts(storage)
    with read_only(sessions)() as session:
        orphans = sorted([*_unnamed(session, uploads), *_unneeded(session, attempts)])
    for orphan in orphans:
        storage.delete_prefix(orphan)
    return orphans


def discard(storage: Storage, prefix: str) -> None:
    """Delete what no row names any more; where storage is away it stays, to be removed later."""
    try:
        storage.delete_prefix(prefix)
    except StorageUnavailable as error:
        log.warning("storage.not_deleted", prefix=prefix, error=str(error))


def _uploads(storage: Storage) -> dict[str, str]:
    """The file or folder of every upload, and its identifier."""
    keys = [key for root in ("datasets", "models") for key in storage.list_prefix(root)]
    return {match[0]: match["id"] for key in keys if (match := UPLOAD.match(key))}


def _attempts(storage: Storage) -> dict[str, AttemptFolder]:
    matches = (ATTEMPT.match(key) for key in storage.list_prefix("jobs"))
    return {
        match[0]: AttemptFolder(match["job_id"], int(match["epoch"])) for match in matches if match
    }


def _unnamed(session: Session, uploads: dict[str, str]) -> Iterator[str]:
    known = set(session.scalars(union(select(Dataset.id), select(UploadedModel.id))))
    return (key for key, id in uploads.items() if id not in known and _is_abandoned(id))


def _unneeded(session: Session, attempts: dict[str, AttemptFolder]) -> Iterator[str]:
    """Folders of attempts that are over and published nothing, or whose job was deleted."""
    jobs = {job.id: job for job in session.execute(select(Job.id, Job.epoch, Job.state))}
    for key, attempt in attempts.items():
        job = jobs.get(attempt.job_id)
        if job is None:
            unneeded = _is_abandoned(attempt.job_id)
        else:
            under_way = job.state == JobState.RUNNING and job.epoch == attempt.epoch
            unneeded = not under_way and not _is_published(session, key, attempt)
        if unneeded:
            yield key


def _is_published(session: Session, key: str, attempt: AttemptFolder) -> bool:
    named = Artifact.storage_key.startswith(f"{key}/", autoescape=True)
    query = select(Artifact.name).where(Artifact.job_id == attempt.job_id, named).limit(1)
    return session.scalars(query).first() is not None


def _is_abandoned(identifier: str) -> bool:
    return made_at(identifier) < time.time() - ABANDONED_AFTER_S
