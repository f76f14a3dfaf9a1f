from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session

from api.bodies import JsonBody, Received
from api.dependencies import Admin, Reading, Writing
from api.idempotency import Answer, Idempotency
from api.keys import service
from api.keys.schemas import EXAMPLE, ISSUED_EXAMPLE, ApiKeyCreate, ApiKeyView, IssuedApiKey
from api.operations import BODY_CODES, READ_CODES, WRITE_CODES, example, page_of, request_body
from api.pagination import Page, Paging
from api.problems import invalid_field, refusals
from core import keys
from core.database.tables import now

router = APIRouter(prefix="/v1/api-keys", tags=["api-keys"])


@router.post(
    "",
    status_code=201,
    response_model=IssuedApiKey,
    responses=example(ISSUED_EXAMPLE, 201) | refusals(*WRITE_CODES, *BODY_CODES),
    openapi_extra=request_body(
        ApiKeyCreate, submit_only={"name": "pipeline", "scopes": ["submit"]}
    ),
)
def create_api_key(
    caller: Admin,
    body: Annotated[Received[ApiKeyCreate], Depends(JsonBody(ApiKeyCreate))],
    idempotency: Annotated[Idempotency, Depends()],
) -> JSONResponse:
    """Issue a key of the caller's project. The key is in this answer and nowhere else."""
    wanted = body.content
    if wanted.expires_at is not None and wanted.expires_at <= now():
        raise invalid_field("/expires_at", "lies in the past", "a later time, or null")

    token = keys.generate()

    def issue(session: Session) -> Answer:
        row = service.issue(
            session, caller.project_id, token, wanted.scopes, wanted.name, wanted.expires_at
        )
        shown = ApiKeyView.of(row).model_dump(mode="json")
        return Answer(201, shown | {"key": token}, stored_body=shown | {"key": None})

    return idempotency.once(caller, body.sha256, lambda: issue)


@router.get("", responses=example(page_of(EXAMPLE)) | refusals(*READ_CODES, "invalid_cursor"))
def list_api_keys(caller: Admin, session: Reading, page: Paging) -> Page[ApiKeyView]:
    """The project's keys, revoked and expired ones included."""
    found = service.listed(session, caller.project_id, page)
    return Page.of([ApiKeyView.of(row) for row in found.rows], found.next_cursor)


@router.delete("/{key_id}", status_code=204, responses=refusals(*READ_CODES, "not_found"))
def revoke_api_key(caller: Admin, session: Writing, key_id: str) -> Response:
    """Revoke a key: from now on it is refused. Revoking twice is no error."""
    service.revoke(session, caller.project_id, key_id)
    return Response(status_code=204)
