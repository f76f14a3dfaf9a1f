from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy.orm import Session

from api.artifacts import service
from api.artifacts.links import SignedLink
from api.artifacts.schemas import EXAMPLE, LINK_EXAMPLE, ArtifactFile, ArtifactLink, LinkWanted
from api.bodies import JsonBody, Received
from api.dependencies import Caller, Credentials, CurrentStorage, Reader, Reading
from api.idempotency import Answer, Idempotency
from api.operations import BODY_CODES, READ_CODES, WRITE_CODES, example, page_of, request_body
from api.pagination import Page
from api.problems import refusals
from api.signing import CurrentSigner
from core.database.tables import Artifact

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
REFUSED = refusals(
    *READ_CODES,
    *("link_refused", "not_found", "artifact_gone", "invalid_range", "storage_unavailable"),
)


@router.get("", responses=example(page_of(EXAMPLE)) | refusals(*READ_CODES, "not_found"))
def list_artifacts(caller: Reader, session: Reading, job_id: str) -> Page[ArtifactFile]:
    """The files of the job's artifact, with sizes and digests; none before it is published."""
    rows = service.listed(session, caller.project_id, job_id)
    return Page.of([ArtifactFile.of(row) for row in rows])


@router.post(
    "/{name:path}/link",
    status_code=201,
    response_model=ArtifactLink,
    responses=example(LINK_EXAMPLE, 201) | refusals(*WRITE_CODES, *BODY_CODES, "not_found"),
    openapi_extra=request_body(LinkWanted, optional=True, half_an_hour={"expires_s": 1800}),
)
def link_artifact(
    request: Request,
    caller: Reader,
    signer: CurrentSigner,
    body: Annotated[Received[LinkWanted], Depends(JsonBody(LinkWanted, optional=True))],
    idempotency: Annotated[Idempotency, Depends()],
    job_id: str,
    name: str,
) -> JSONResponse:
    """A signed link to a file, good for five minutes unless `expires_s` says otherwise.

    It needs no key. Deleting the job ends it.
    """

    def link(session: Session) -> Answer:
        path, expires_at = service.link(
            session, caller.project_id, job_id, name, signer, body.content.expires_s
        )
        url = str(request.base_url).rstrip("/") + path
        shown = ArtifactLink(url=url, expires_at=expires_at)
        return Answer(201, shown.model_dump(mode="json"))

    return idempotency.once(caller, body.sha256, lambda: link)


def readable(
    request: Request,
    session: Reading,
    signer: CurrentSigner,
    credentials: Credentials,
    link: Annotated[SignedLink, Depends()],
    job_id: str,
    name: str,
) -> Artifact:
    """The file, for a caller whose project has it or for whoever holds a link to it."""
    if link.signature is not None:
        return service.linked(session, job_id, name, link, signer)
    caller = Caller.require("read")(request, credentials)
    return service.get(session, caller.project_id, job_id, name)


Readable = Annotated[Artifact, Depends(readable)]


@router.get("/{name:path}/content", response_class=Response, responses=DOWNLOAD | REFUSED)
def download_artifact(request: Request, storage: CurrentStorage, row: Readable) -> Response:
    """A file's bytes, by key or by signed link. Honours Range, If-Range and If-None-Match."""
    return service.download(row, storage, request.headers, head=False)


@router.head("/{name:path}/content", response_class=Response, responses=DOWNLOAD | REFUSED)
def inspect_artifact(request: Request, storage: CurrentStorage, row: Readable) -> Response:
    """What a download would answer, without the bytes. HEAD knows no parts: Range is ignored."""
    return service.download(row, storage, request.headers, head=True)
