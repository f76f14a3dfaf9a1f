from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.sse import EventSourceResponse
from sqlalchemy.orm import Session
from starlette.background import BackgroundTask

from api.bodies import JsonBody, Received
from api.dependencies import (
    Caller,
    CurrentSessions,
    CurrentSettings,
    Reader,
    Reading,
    Submitter,
)
from api.idempotency import Answer, Idempotency
from api.jobs import examples, service
from api.jobs.schemas import Attempt, Event, Job, Layer, Metric, Stage, Status
from api.moments import Moment
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
from core.recipe import Recipe

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

OF_ONE_JOB = refusals(*READ_CODES, "not_found")
LabelFilter = Annotated[str, Query(pattern=r"^[^:]{1,63}:.{0,256}$", max_length=320)]

EVENTS_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/json": {"example": page_of(examples.EVENT)},
            EventSourceResponse.media_type: {"example": examples.STREAM},
        }
    }
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
    responses=example(examples.QUEUED, 202) | refusals(*WRITE_CODES, *RECIPE_CODES),
    openapi_extra=request_body(Recipe, **examples.RECIPES),
)
def submit_job(
    request: Request,
    caller: Submitter,
    sessions: CurrentSessions,
    settings: CurrentSettings,
    body: Annotated[Received[Recipe], Depends(JsonBody(Recipe))],
    idempotency: Annotated[Idempotency, Depends()],
    priority: Annotated[int, Query(ge=-100, le=100, description="Higher first.")] = 0,
) -> JSONResponse:
    """Queue a compression job. Model, data and budget are checked before it is accepted."""
    response = idempotency.once(
        caller,
        body.sha256,
        lambda: service.prepare_submission(
            body.content, priority, caller.project_id, sessions, settings
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


@router.get("/{job_id}", responses=example(examples.SUCCEEDED) | OF_ONE_JOB)
def get_job(caller: Reader, session: Reading, job_id: str) -> Job:
    """One job: its status, its progress, and in the end its result."""
    return Job.of(service.get(session, caller.project_id, job_id))


@router.post(
    "/{job_id}/cancel",
    status_code=202,
    response_model=Job,
    responses=example(examples.CANCELLING, 202)
    | refusals(*WRITE_CODES, "not_found", "illegal_transition"),
)
def cancel_job(
    caller: Submitter, job_id: str, idempotency: Annotated[Idempotency, Depends()]
) -> JSONResponse:
    """Cancel a job: one that waits at once, one that runs at the next safe point."""

    def cancel(session: Session) -> Answer:
        row = service.cancel(session, caller.project_id, job_id)
        return Answer(202, Job.of(row).model_dump(mode="json"))

    return idempotency.once(caller, "", lambda: cancel)


@router.get("/{job_id}/stages", responses=example(page_of(examples.STAGE)) | OF_ONE_JOB)
def list_stages(caller: Reader, session: Reading, job_id: str) -> Page[Stage]:
    """The job's stages, in the order they run."""
    rows = service.stages(session, caller.project_id, job_id)
    return Page.of([Stage.of(row) for row in rows])


@router.get("/{job_id}/layers", responses=example(page_of(examples.LAYER)) | OF_ONE_JOB)
def list_layers(caller: Reader, session: Reading, job_id: str) -> Page[Layer]:
    """Every target layer: rank, spectrum, predicted and measured error."""
    rows = service.layers(session, caller.project_id, job_id)
    return Page.of([Layer.of(row) for row in rows])


@router.get("/{job_id}/metrics", responses=example(page_of(examples.METRIC)) | OF_ONE_JOB)
def list_metrics(caller: Reader, session: Reading, job_id: str) -> Page[Metric]:
    """Metrics of the dense, the factorized and the fine-tuned model, with intervals."""
    rows = service.metrics(session, caller.project_id, job_id)
    return Page.of([Metric.of(row) for row in rows])


@router.get("/{job_id}/attempts", responses=example(page_of(examples.ATTEMPT)) | OF_ONE_JOB)
def list_attempts(caller: Reader, session: Reading, job_id: str) -> Page[Attempt]:
    """Each time a worker claimed the job, and how that ended."""
    rows = service.attempts(session, caller.project_id, job_id)
    return Page.of([Attempt.of(row) for row in rows])


@router.get(
    "/{job_id}/events",
    response_model=Page[Event],
    responses=EVENTS_ANSWER | refusals(*READ_CODES, "not_found", "too_many_watchers"),
)
def list_events(
    request: Request,
    caller: Reader,
    session: Reading,
    job_id: str,
    after: Annotated[int, Query(ge=0, le=2**53, description="A seq.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    last_event_id: Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=2**53)] = None,
) -> Response:
    """What has happened, oldest first; or, with `Accept: text/event-stream`, what happens.

    The stream begins behind `Last-Event-ID` (or `after`), sends a comment every 15 seconds, and
    ends when the job has finished.
    """
    if EventSourceResponse.media_type in request.headers.get("accept", ""):
        return _stream(request, caller, session, job_id, last_event_id or after)
    found = service.events(session, caller.project_id, job_id, after, limit)
    data = [Event.of(row).model_dump(mode="json") for row in found.rows]
    cursor = str(found.rows[-1].seq) if found.has_more else None
    return JSONResponse(page_of(*data, next_cursor=cursor))


def _stream(
    request: Request, caller: Caller, session: Session, job_id: str, after: int
) -> StreamingResponse:
    service.get(session, caller.project_id, job_id)
    poller = request.app.state.poller
    poller.refuse_if_full()
    return EventSourceResponse(poller.watch(job_id, after), headers={"X-Accel-Buffering": "no"})
