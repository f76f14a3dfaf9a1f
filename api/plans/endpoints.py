from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse

from api.bodies import JsonBody, Received
from api.dependencies import (
    CurrentSettings,
    CurrentStorage,
    Reader,
    Reading,
)
from api.idempotency import Answer, Idempotency, Write
from api.jobs.examples import RECIPES
from api.operations import RECIPE_CODES, WRITE_CODES, example, request_body
from api.plans import service
from api.plans.schemas import EXAMPLE, DryRun
from api.problems import refusals
from core.recipe import Recipe

router = APIRouter(prefix="/v1/plans", tags=["plans"])


@router.post(
    "",
    response_model=DryRun,
    responses=example(EXAMPLE) | refusals(*WRITE_CODES, *RECIPE_CODES),
    openapi_extra=request_body(Recipe, **RECIPES),
)
def plan_recipe(
    caller: Reader,
    session: Reading,
    settings: CurrentSettings,
    storage: CurrentStorage,
    body: Annotated[Received[Recipe], Depends(JsonBody(Recipe))],
    idempotency: Annotated[Idempotency, Depends()],
) -> JSONResponse:
    """Dry run of a recipe: the rank of every layer, sizes, predicted loss, resources."""

    def prepare() -> Write:
        found = service.dry_run(body.content, caller.project_id, session, settings, storage)
        answer = Answer(200, found.model_dump(mode="json"))
        return lambda _: answer

    return idempotency.once(caller, body.sha256, prepare)
