from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.artifacts import service
from api.artifacts.schemas import EXAMPLE, ArtifactFile
from api.dependencies import CurrentStorage, Reader, Reading
from api.operations import READ_CODES, example, page_of
from api.pagination import Page
from api.problems import refusals

router = APIRouter(prefix="/v1/jobs/{job_id}/artifacts", tags=["artifacts"])

BYTES: dict[str, Any] = {
    "application/octet-stream": {
        "schema": {"type": "string", "contentMediaType": "application/octet-stream"},
        "example": "(the file's bytes)",
    }
}
DOWNLOAD: dict[int | str, dict[str, Any]] = {
    200: {"description": "The whole file; ETag and Repr-Digest hold its SHA-256", "content": BYTES},
    206: {"description": "The part that Range asked for", "content": BYTES},
    304: {"description": "If-None-Match names the file as it is"},
}
REFUSED = refusals(*READ_CODES, "not_found", "artifact_gone", "invalid_range")


@router.get("", responses=example(page_of(EXAMPLE)) | refusals(*READ_CODES, "not_found"))
def list_artifacts(caller: Reader, session: Reading, job_id: str) -> Page[ArtifactFile]:
    """The files of the job's artifact, with sizes and digests; none before it is published."""
    rows = service.listed(session, caller.project_id, job_id)
    return Page.of([ArtifactFile.of(row) for row in rows])


@router.get("/{name:path}/content", response_class=Response, responses=DOWNLOAD | REFUSED)
def download_artifact(
    request: Request,
    caller: Reader,
    session: Reading,
    storage: CurrentStorage,
    job_id: str,
    name: str,
) -> Response:
    """A file's bytes. Honours Range, If-Range and If-None-Match."""
    row = service.get(session, caller.project_id, job_id, name)
    return service.download(row, storage, request.headers, head=False)


@router.head("/{name:path}/content", response_class=Response, responses=DOWNLOAD | REFUSED)
def inspect_artifact(
    request: Request,
    caller: Reader,
    session: Reading,
    storage: CurrentStorage,
    job_id: str,
    name: str,
) -> Response:
    """What a download would answer, without the bytes."""
    row = service.get(session, caller.project_id, job_id, name)
    return service.download(row, storage, request.headers, head=True)
