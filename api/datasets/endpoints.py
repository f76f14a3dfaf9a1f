from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.background import BackgroundTask

from api.datasets import service
from api.datasets.forms import UploadForm, received_form
from api.datasets.schemas import EXAMPLE, PREVIEW_EXAMPLE, Dataset, DatasetWithPreview
from api.dependencies import CurrentSettings, CurrentStorage, Reader, Reading, Submitter, Writing
from api.idempotency import Idempotency
from api.operations import READ_CODES, STORAGE_CODES, WRITE_CODES, example, page_of
from api.pagination import Page, Paging
from api.problems import refusals
from core.jobs.orphans import discard

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "additionalProperties": False,
    "properties": {
        "file": {"type": "string", "contentMediaType": "application/octet-stream"},
        "name": {"type": "string", "maxLength": 1000, "description": "Else the file's name."},
        "format": {"enum": ["csv", "jsonl", "parquet"], "description": "Else by the file's name."},
    },
}
FORM_EXAMPLE = {"file": "text,label\nA quiet film.,positive\n", "format": "csv"}
FORM_CODES = ("too_large", "unsupported_media_type", "invalid_multipart", "data_refused")


@router.post(
    "",
    status_code=201,
    response_model=DatasetWithPreview,
    responses=example(PREVIEW_EXAMPLE, 201) | refusals(*WRITE_CODES, *FORM_CODES, *STORAGE_CODES),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": FORM_SCHEMA, "example": FORM_EXAMPLE}},
        }
    },
)
async def upload_dataset(
    request: Request,
    caller: Submitter,
    settings: CurrentSettings,
    storage: CurrentStorage,
    idempotency: Annotated[Idempotency, Depends()],
) -> JSONResponse:
    """Upload a csv, jsonl or parquet table. It is read once, and every row is checked."""

    def stored(form: UploadForm) -> JSONResponse:
        return idempotency.once(
            caller,
            form.fingerprint(),
            lambda: service.prepare_upload(form, caller.project_id, storage),
        )

    async with received_form(request, settings) as form:
        return await run_in_threadpool(stored, form)


@router.get("", responses=example(page_of(EXAMPLE)) | refusals(*READ_CODES, "invalid_cursor"))
def list_datasets(caller: Reader, session: Reading, page: Paging) -> Page[Dataset]:
    """The project's uploaded tables."""
    found = service.listed(session, caller.project_id, page)
    return Page.of([Dataset.of(row) for row in found.rows], found.next_cursor)


@router.get(
    "/{dataset_id}",
    responses=example(PREVIEW_EXAMPLE) | refusals(*READ_CODES, *STORAGE_CODES, "not_found"),
)
def get_dataset(
    caller: Reader, session: Reading, storage: CurrentStorage, dataset_id: str
) -> DatasetWithPreview:
    """One uploaded table: its columns, label counts, text lengths and first rows."""
    return service.with_preview(service.get(session, caller.project_id, dataset_id), storage)


@router.delete(
    "/{dataset_id}",
    status_code=204,
    responses=refusals(*READ_CODES, "not_found", "dataset_in_use"),
)
def delete_dataset(
    caller: Submitter, session: Writing, storage: CurrentStorage, dataset_id: str
) -> Response:
    """Delete an uploaded table that no unfinished job reads."""
    storage_key = service.delete(session, caller.project_id, dataset_id)
    return Response(status_code=204, background=BackgroundTask(discard, storage, storage_key))
