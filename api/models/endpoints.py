from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.background import BackgroundTask

from api.dependencies import CurrentSettings, CurrentStorage, Reader, Reading, Submitter, Writing
from api.idempotency import Idempotency
from api.models import service
from api.models.forms import ModelForm, received_model
from api.models.schemas import EXAMPLE, TARGETS_EXAMPLE, Model, ModelWithTargets
from api.operations import READ_CODES, STORAGE_CODES, WRITE_CODES, example, page_of
from api.pagination import Page, Paging
from api.problems import refusals
from core.jobs.orphans import discard

router = APIRouter(prefix="/v1/models", tags=["models"])

FORM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["files"],
    "additionalProperties": False,
    "properties": {
        "files": {
            "type": "array",
            "items": {"type": "string", "contentMediaType": "application/octet-stream"},
            "description": "One part for each file, named as in the model's own folder: "
            "config.json, safetensors (with their index where they are several), tokenizer.",
        },
        "name": {"type": "string", "maxLength": 200},
    },
}
FORM_EXAMPLE = {"files": ["config.json", "model.safetensors", "tokenizer.json"], "name": "mine"}
FORM_CODES = ("too_large", "unsupported_media_type", "invalid_multipart", "model_refused")


@router.post(
    "",
    status_code=201,
    response_model=ModelWithTargets,
    responses=example(TARGETS_EXAMPLE, 201) | refusals(*WRITE_CODES, *FORM_CODES, *STORAGE_CODES),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": FORM_SCHEMA, "example": FORM_EXAMPLE}},
        }
    },
)
async def upload_model(
    request: Request,
    caller: Submitter,
    settings: CurrentSettings,
    storage: CurrentStorage,
    idempotency: Annotated[Idempotency, Depends()],
) -> JSONResponse:
    """Upload a Hugging Face folder: config, safetensors, tokenizer. Its headers are checked."""

    def stored(form: ModelForm) -> JSONResponse:
        return idempotency.once(
            caller,
            form.fingerprint(),
            lambda: service.prepare_upload(form, caller.project_id, storage, settings),
        )

    async with received_model(request, settings) as form:
        return await run_in_threadpool(stored, form)


@router.get(
    "",
    responses=example(page_of(EXAMPLE)) | refusals(*READ_CODES, *STORAGE_CODES, "invalid_cursor"),
)
def list_models(
    caller: Reader,
    session: Reading,
    storage: CurrentStorage,
    settings: CurrentSettings,
    page: Paging,
) -> Page[Model]:
    """What a recipe can name: uploaded models, folders under the roots, results of jobs."""
    found = service.listed(session, caller.project_id, page, storage, settings)
    shown = [Model.model_validate(each, from_attributes=True) for each in found.rows]
    return Page.of(shown, found.next_cursor)


@router.get(
    "/{model_id}",
    responses=example(TARGETS_EXAMPLE) | refusals(*READ_CODES, *STORAGE_CODES, "not_found"),
)
def get_model(
    caller: Reader,
    session: Reading,
    storage: CurrentStorage,
    settings: CurrentSettings,
    model_id: str,
) -> ModelWithTargets:
    """One model and the layers of it that can be factorized."""
    return service.get(session, caller.project_id, model_id, storage, settings)


@router.delete(
    "/{model_id}", status_code=204, responses=refusals(*READ_CODES, "not_found", "model_in_use")
)
def delete_model(
    caller: Submitter, session: Writing, storage: CurrentStorage, model_id: str
) -> Response:
    """Delete an uploaded model that no unfinished job uses."""
    prefix = service.delete(session, caller.project_id, model_id)
    return Response(status_code=204, background=BackgroundTask(discard, storage, prefix))
