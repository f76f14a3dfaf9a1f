from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, Query, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy.orm import Session
from starlette.background import BackgroundTask

from api.bodies import JsonBody, Received
from api.dependencies import (
    Caller,
    CurrentSessions,
    CurrentSettings,
    CurrentStorage,
    Reader,
    Reading,
    Submitter,
    Writing,
)
from api.idempotency import Answer, Idempotency
from api.jobs import examples, service
from api.jobs.schemas import Job, JobChanges, Status
from api.moments import Moment
from api.operations import (
    BODY_CODES,
    READ_CODES,
    RECIPE_CODES,
    WRITE_CODES,
    example,
    page_of,
    request_body,
)
from api.pagination import Page, Paging
from api.problems import refusals
from core.database.states import JobState
from core.database.tables import Job as JobTable
from core.recipe import Recipe

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

MERGE_PATCH = "application/merge-patch+json"
LabelFilter = Annotated[str, Query(pattern=r"^[^:]{1,63}:.{0,256}$", max_length=320)]
Idempotent = Annotated[Idempotency, Depends()]


def answers(sample: dict[str, Any], *codes: str) -> dict[str, Any]:
    """What the routes have in common that ask something of a job."""
    refused = refusals(*WRITE_CODES, "not_found", "illegal_transition", *codes)
    return {
        "status_code": 202,
        "response_model": Job,
        "responses": example(sample, 202) | refused,
    }


def job_filter(
    status: Annotated[list[Status], Query(description="Any of these.")] = [],  # noqa: B006
    label: Annotated[list[LabelFilter], Query(description="`key:value`; all must hold.")] = [],  # noqa: B006
    search: Annotated[str, Query(max_length=200, description="Part of the name.")] = "",
    created_after: Annotated[Moment | None, Query()] = None,
    created_before: Annotated[Moment | None, Query()] = None,
) -> service.JobFilter:
    labels = dict(pair.split(":", 1) for pair in label)
    return service.JobFilter(status, labels, search, created_after, created_before)


@router.post(
    "",
    status_code=202,
    response_model=Job,
    responses=example(examples.QUEUED, 202) | refusals(*WRITE_CODES, *RECIPE_CODES, "queue_full"),
    openapi_extra=request_body(Recipe, **examples.RECIPES),
)
def submit_job(
    request: Request,
    caller: Submitter,
    sessions: CurrentSessions,
    settings: CurrentSettings,
    storage: CurrentStorage,
    body: Annotated[Received[Recipe], Depends(JsonBody(Recipe))],
    idempotency: Idempotent,
    priority: Annotated[int, Query(ge=-100, le=100, description="Higher first.")] = 0,
) -> JSONResponse:
    """Queue a compression job. Model, data and budget are checked before it is accepted."""
    response = idempotency.once(
        caller,
        body.sha256,
        lambda: service.prepare_submission(
            body.content, priority, caller.project_id, sessions, settings, storage
        ),
    )
    response.background = BackgroundTask(request.app.state.doorbell.ring, "default")
    return response


@router.get(
    "",
    responses=example(page_of(examples.SUCCEEDED)) | refusals(*READ_CODES, "invalid_cursor"),
)
def list_jobs(
    caller: Reader,
    session: Reading,
    wanted: Annotated[service.JobFilter, Depends(job_filter)],
    page: Paging,
) -> Page[Job]:
    """The project's jobs."""
    found = service.listed(session, caller.project_id, wanted, page)
    return Page.of([Job.of(row) for row in found.rows], found.next_cursor)


@router.get("/{job_id}", responses=example(examples.SUCCEEDED) | refusals(*READ_CODES, "not_found"))
def get_job(caller: Reader, session: Reading, job_id: str) -> Job:
    """One job: its status, its progress, and in the end its result."""
    return Job.of(service.get(session, caller.project_id, job_id))


@router.patch(
    "/{job_id}",
    responses=example(examples.QUEUED)
    | refusals(*READ_CODES, *BODY_CODES, "not_found", "field_fixed"),
    openapi_extra=request_body(JobChanges, MERGE_PATCH, **examples.CHANGES),
)
def change_job(
    request: Request,
    background: BackgroundTasks,
    caller: Submitter,
    session: Writing,
    job_id: str,
    body: Annotated[Received[JobChanges], Depends(JsonBody(JobChanges, MERGE_PATCH))],
) -> Job:
    """Change a job's name, labels or priority; what is not sent stays as it is."""
    row = service.change(session, caller.project_id, job_id, body.content)
    if row.state == JobState.QUEUED:  # a worker that claimed meanwhile passed the locked row by
        background.add_task(request.app.state.doorbell.ring, row.queue)
    return Job.of(row)


@router.delete(
    "/{job_id}",
    status_code=204,
    responses=refusals(*READ_CODES, "not_found", "illegal_transition", "job_in_use"),
)
def delete_job(
    caller: Submitter,
    session: Writing,
    storage: CurrentStorage,
    settings: CurrentSettings,
    job_id: str,
) -> Response:
    """Delete a finished job: its rows, its artifact's files, and every link to them."""
    service.delete(session, caller.project_id, job_id)
    clean_up = BackgroundTask(service.remove_files, job_id, storage, settings)
    return Response(status_code=204, background=clean_up)


@router.post("/{job_id}/cancel", **answers(examples.CANCELLING))
def cancel_job(caller: Submitter, job_id: str, idempotency: Idempotent) -> JSONResponse:
    """Cancel a job: one that waits at once, one that runs at the next safe point."""
    return _asked(caller, job_id, idempotency, service.cancel)


@router.post("/{job_id}/pause", **answers(examples.PAUSING))
def pause_job(caller: Submitter, job_id: str, idempotency: Idempotent) -> JSONResponse:
    """Pause a job: one that waits at once, one that runs at the next safe point.

    What it has done is kept. A cancel still ends it.
    """
    return _asked(caller, job_id, idempotency, service.pause)


@router.post("/{job_id}/resume", **answers(examples.QUEUED))
def resume_job(
    request: Request, caller: Submitter, job_id: str, idempotency: Idempotent
) -> JSONResponse:
    """Queue a paused job again. It goes on from its last checkpoint."""
    ring = request.app.state.doorbell.ring
    return _asked(caller, job_id, idempotency, service.resume, ring)


@router.post("/{job_id}/retry", **answers(examples.QUEUED, "queue_full"))
def retry_job(
    request: Request,
    caller: Submitter,
    settings: CurrentSettings,
    job_id: str,
    idempotency: Idempotent,
) -> JSONResponse:
    """Queue a failed or cancelled job again, as a new attempt with no crashes counted.

    Stages that were finished are not run again, within a day of its end.
    """
    retry = partial(service.retry, max_queued=settings.max_queued_jobs)
    return _asked(caller, job_id, idempotency, retry, request.app.state.doorbell.ring)


def _asked(
    caller: Caller,
    job_id: str,
    idempotency: Idempotency,
    request: Callable[..., JobTable],
    ring: Callable[[str], object] | None = None,
) -> JSONResponse:
    """Ask once; then, after the commit, ring at the job's queue if it waits there again."""
    queues: list[str] = []

    def ask(session: Session) -> Answer:
        row = request(session, caller.project_id, job_id)
        queues.append(row.queue)
        return Answer(202, Job.of(row).model_dump(mode="json"))

    response = idempotency.once(caller, "", lambda: ask)
    if ring is not None and queues:
        response.background = BackgroundTask(ring, queues[0])
    return response
