"""The files of a published artifact and their bytes."""

import base64
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import quote

from fastapi.responses import Response, StreamingResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from api.artifacts.links import SignedLink, linked_epoch, signed_path
from api.artifacts.ranges import Span, requested_span
from api.jobs import service as jobs
from api.problems import Problem, not_found
from api.signing import Signer
from core.database.tables import Artifact
from core.storage.storage import Storage

CHUNK_BYTES = 256 << 10


def listed(session: Session, project_id: str, job_id: str) -> Sequence[Artifact]:
    jobs.get(session, project_id, job_id)
    query = select(Artifact).where(Artifact.job_id == job_id).order_by(Artifact.name)
    return session.scalars(query).all()


def get(session: Session, project_id: str, job_id: str, name: str) -> Artifact:
    job = jobs.get(session, project_id, job_id)
    row = session.get(Artifact, {"job_id": job_id, "name": name})
    if row is None and job.artifact_dropped_at is not None:
        when = f"{job.artifact_dropped_at:%Y-%m-%d}"
        raise Problem("artifact_gone", f"the files had their time and were dropped on {when}")
    if row is None:
        raise not_found("file", name)
    return row


def link(
    session: Session, project_id: str, job_id: str, name: str, signer: Signer, expires_s: int
) -> tuple[str, datetime]:
    """An address that needs no key, and the moment, in whole seconds, that it is good until."""
    row = get(session, project_id, job_id, name)
    expires = int(time.time()) + expires_s
    path = signed_path(signer, job_id, name, row.epoch, expires)
    return path, datetime.fromtimestamp(expires, UTC)


def linked(session: Session, job_id: str, name: str, sent: SignedLink, signer: Signer) -> Artifact:
    """The file that a signed link is for; 404 once its job is deleted."""
    epoch = linked_epoch(signer, job_id, name, sent, time.time())
    row = session.get(Artifact, {"job_id": job_id, "name": name})
    if row is None or row.epoch != epoch:
        raise not_found("file", name)
    return row


def download(row: Artifact, storage: Storage, asked: Mapping[str, str], *, head: bool) -> Response:
    """The file, or the part of it that the request's headers ask for; HEAD knows no parts."""
    if not storage.exists(row.storage_key):
        raise Problem("artifact_gone", f"{row.name} is no longer stored")
    headers = _headers(row)
    if _known_to_caller(asked, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    span = None if head else _span(row, asked, headers["ETag"])
    if span is None:
        status, span = 200, Span(0, row.bytes)
    else:
        status = 206
        headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{row.bytes}"
    headers["Content-Length"] = str(span.length)
    if head:
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_begun(_chunks(_opened(row, storage), span)), status, headers)


def _headers(row: Artifact) -> dict[str, str]:
    digest = base64.b64encode(bytes.fromhex(row.sha256)).decode()
    name = quote(PurePosixPath(row.name).name)
    return {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        "ETag": f'"{row.sha256}"',
        "Repr-Digest": f"sha-256=:{digest}:",
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
    }


def _known_to_caller(asked: Mapping[str, str], etag: str) -> bool:
    known = [tag.strip().removeprefix("W/") for tag in asked.get("if-none-match", "").split(",")]
    return etag in known or known == ["*"]


def _span(row: Artifact, asked: Mapping[str, str], etag: str) -> Span | None:
    if asked.get("if-range", etag) != etag:
        return None
    return requested_span(asked.get("range"), row.bytes)


def _opened(row: Artifact, storage: Storage) -> BinaryIO:
    try:
        return storage.open(row.storage_key)
    except FileNotFoundError:
        raise Problem("artifact_gone", f"{row.name} is no longer stored") from None


def _begun(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """With the first chunk read: storage that is away is a refusal, not an answer broken off."""
    first = next(chunks, b"")
    return chain([first], chunks)


def _chunks(file: BinaryIO, span: Span) -> Iterator[bytes]:
    with file:
        file.seek(span.start)
        left = span.length
        while left > 0 and (chunk := file.read(min(left, CHUNK_BYTES))):
            left -= len(chunk)
            yield chunk
