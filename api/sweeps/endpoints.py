from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from starlette.background import BackgroundTask

from api.bodies import JsonBody, Received
from api.dependencies import (
    CurrentSessions,
    CurrentSettings,
    CurrentStorage,
    Reader,
    Reading,
    Submitter,
    Writing,
)
from api.idempotency import Answer, Idempotency
from api.jobs.examples import QUEUED
from api.jobs.schemas import Job
from api.operations import (
    READ_CODES,
    RECIPE_CODES,
    WRITE_CODES,
    example,
    page_of,
    request_body,
)
from api.pagination import Page, Paging
from api.problems import refusals
from api.sweeps import schemas, service, weighing
from core.recipe.sweep import SweepSpec

router = APIRouter(prefix="/v1/sweeps", tags=["sweeps"])

Idempotent = Annotated[Idempotency, Depends()]
Priority = Annotated[int, Query(ge=-100, le=100, description="Higher first.")]


@router.post(
    "",
    status_code=202,
    response_model=schemas.Submitted,
    responses=example(schemas.SUBMITTED, 202) | refusals(*WRITE_CODES, *RECIPE_CODES, "queue_full"),
    openapi_extra=request_body(SweepSpec, budgets=schemas.EXAMPLE),
)
def submit_sweep(
    request: Request,
    caller: Submitter,
    sessions: CurrentSessions,
    settings: CurrentSettings,
    storage: CurrentStorage,
    body: Annotated[Received[SweepSpec], Depends(JsonBody(SweepSpec))],
    idempotency: Idempotent,
    priority: Priority = 0,
) -> JSONResponse:
    """Queue every budget by every method with every seed, over one adapted model and one pass of
    statistics. All are checked before any is accepted."""
    response = idempotency.once(
        caller,
        body.sha256,
        lambda: service.prepare_submission(
            body.content, priority, caller.project_id, sessions, settings, storage
        ),
    )
    response.background = BackgroundTask(request.app.state.doorbell.ring, "default")
    return response


@router.get("", responses=example(page_of(schemas.SWEEP)) | refusals(*READ_CODES, "invalid_cursor"))
def list_sweeps(caller: Reader, session: Reading, page: Paging) -> Page[schemas.Sweep]:
    """The project's sweeps."""
    found = service.listed(session, caller.project_id, page)
    return Page.of(service.shown_all(session, found.rows), found.next_cursor)


@router.get("/{sweep_id}", responses=example(schemas.SWEEP) | refusals(*READ_CODES, "not_found"))
def get_sweep(caller: Reader, session: Reading, sweep_id: str) -> schemas.Sweep:
    """One sweep, and how far its jobs are."""
    return service.shown(session, service.get(session, caller.project_id, sweep_id))


@router.get(
    "/{sweep_id}/points",
    responses=example(page_of(schemas.EXAMPLE_POINT)) | refusals(*READ_CODES, "not_found"),
)
def list_points(caller: Reader, session: Reading, sweep_id: str) -> Page[schemas.Point]:
    """Every job of a sweep: sizes, latency and metrics as far as they are measured."""
    return Page.of(service.points(session, caller.project_id, sweep_id))


@router.get(
    "/{sweep_id}/pareto",
    responses=example(schemas.EXAMPLE_PARETO) | refusals(*READ_CODES, "not_found"),
)
def get_pareto(
    caller: Reader,
    session: Reading,
    sweep_id: str,
    metric: Annotated[
        str | None, Query(max_length=64, description="By default the task's headline.")
    ] = None,
    against: Annotated[schemas.Cost, Query(description="What it costs.")] = "bytes",
) -> schemas.Pareto:
    """The finished points by cost and metric: which of them nothing beats, and the knee."""
    return weighing.pareto(session, caller.project_id, sweep_id, metric, against)


@router.post(
    "/{sweep_id}/promote",
    status_code=202,
    response_model=Job,
    responses=example(QUEUED, 202)
    | refusals(*WRITE_CODES, *RECIPE_CODES, "queue_full", "not_found"),
    openapi_extra=request_body(
        schemas.Promotion, point={"job_id": QUEUED["id"], "changes": {"name": "release"}}
    ),
)
def promote_point(
    request: Request,
    caller: Submitter,
    sessions: CurrentSessions,
    settings: CurrentSettings,
    storage: CurrentStorage,
    sweep_id: str,
    body: Annotated[Received[schemas.Promotion], Depends(JsonBody(schemas.Promotion))],
    idempotency: Idempotent,
    priority: Priority = 0,
) -> JSONResponse:
    """Queue a full job of one point's recipe, with changes: evaluated on the test split."""
    response = idempotency.once(
        caller,
        body.sha256,
        lambda: service.prepare_promotion(
            sweep_id, body.content, priority, caller.project_id, sessions, settings, storage
        ),
    )
    response.background = BackgroundTask(request.app.state.doorbell.ring, "default")
    return response


@router.post(
    "/{sweep_id}/cancel",
    status_code=202,
    response_model=schemas.Sweep,
    responses=example(schemas.SWEEP, 202) | refusals(*WRITE_CODES, "not_found"),
)
def cancel_sweep(caller: Submitter, sweep_id: str, idempotency: Idempotent) -> JSONResponse:
    """Cancel every job of a sweep that is not over."""

    def write(session: Writing) -> Answer:
        found = service.cancel(session, caller.project_id, sweep_id)
        return Answer(202, found.model_dump(mode="json"))

    return idempotency.once(caller, "", lambda: write)


@router.delete(
    "/{sweep_id}",
    status_code=204,
    responses=refusals(*READ_CODES, "not_found", "sweep_unfinished"),
)
def delete_sweep(caller: Submitter, session: Writing, sweep_id: str) -> Response:
    """Forget that these jobs belong together; the jobs stay."""
    service.delete(session, caller.project_id, sweep_id)
    return Response(status_code=204)
