from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from fastapi.sse import EventSourceResponse
from sqlalchemy.orm import Session

from api.dependencies import Caller, Reader, Reading
from api.jobs import examples, history, service
from api.jobs.schemas import Attempt, ChangedAnswer, Event, Layer, LogLine, Metric, Stage
from api.operations import READ_CODES, example, page_of
from api.pagination import Page, link_to_next
from api.problems import refusals

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"])

OF_ONE_JOB = refusals(*READ_CODES, "not_found")
EVENTS_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/json": {"example": page_of(examples.EVENT)},
            EventSourceResponse.media_type: {"example": examples.STREAM},
        }
    }
}
LOGS_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/json": {"example": page_of(examples.LOG_LINE)},
            "text/plain": {"schema": {"type": "string"}, "example": examples.LOG_TEXT},
        }
    }
}

Seq = Annotated[int, Query(ge=0, le=2**53, description="A seq.")]
Epoch = Annotated[int, Query(ge=0, le=2**31 - 1, description="An epoch.")]
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get("/stages", responses=example(page_of(examples.STAGE)) | OF_ONE_JOB)
def list_stages(caller: Reader, session: Reading, job_id: str) -> Page[Stage]:
    """The job's stages, in the order they run."""
    rows = history.stages(session, caller.project_id, job_id)
    return Page.of([Stage.of(row) for row in rows])


@router.get("/layers", responses=example(page_of(examples.LAYER)) | OF_ONE_JOB)
def list_layers(caller: Reader, session: Reading, job_id: str) -> Page[Layer]:
    """Every target layer: rank, spectrum, predicted and measured error."""
    rows = history.layers(session, caller.project_id, job_id)
    return Page.of([Layer.of(row) for row in rows])


@router.get("/changed-answers", responses=example(page_of(examples.CHANGED_ANSWER)) | OF_ONE_JOB)
def list_changed_answers(caller: Reader, session: Reading, job_id: str) -> Page[ChangedAnswer]:
    """Rows that the result answers otherwise than the dense model, the worst first.

    `result.answers` counts all of them; `evaluation.changed_answers` says how many are kept.
    """
    rows = history.changed_answers(session, caller.project_id, job_id)
    return Page.of([ChangedAnswer.of(row) for row in rows])


@router.get("/metrics", responses=example(page_of(examples.METRIC)) | OF_ONE_JOB)
def list_metrics(caller: Reader, session: Reading, job_id: str) -> Page[Metric]:
    """Metrics of the dense, the factorized and the fine-tuned model, with intervals."""
    rows = history.metrics(session, caller.project_id, job_id)
    return Page.of([Metric.of(row) for row in rows])


@router.get("/attempts", responses=example(page_of(examples.ATTEMPT)) | OF_ONE_JOB)
def list_attempts(
    caller: Reader, session: Reading, job_id: str, after: Epoch = 0, limit: Limit = 200
) -> Page[Attempt]:
    """Each time a worker claimed the job, and how that ended; oldest first."""
    found = history.attempts(session, caller.project_id, job_id, after, limit)
    return Page.of([Attempt.of(row) for row in found.rows], cursor(found))


@router.get(
    "/logs",
    response_model=Page[LogLine],
    responses=LOGS_ANSWER | OF_ONE_JOB,
)
def list_log_lines(
    request: Request,
    caller: Reader,
    session: Reading,
    job_id: str,
    level: Annotated[history.Level, Query(description="This level and those above it.")] = "info",
    after: Seq = 0,
    limit: Limit = 200,
) -> Response:
    """What the run had to say, oldest first; with `Accept: text/plain` as lines of text.

    The answer in text names its next page in a `Link` header.
    """
    found = history.logs(session, caller.project_id, job_id, level, after, limit)
    lines = [LogLine.of(row) for row in found.rows]
    if "text/plain" not in request.headers.get("accept", ""):
        data = [line.model_dump(mode="json") for line in lines]
        return JSONResponse(page_of(*data, next_cursor=cursor(found)))
    text = "".join(f"{line}\n" for line in lines)
    return PlainTextResponse(text, headers=link_to_next(request.url, cursor(found)))


@router.get(
    "/events",
    response_model=Page[Event],
    responses=EVENTS_ANSWER | refusals(*READ_CODES, "not_found", "too_many_watchers"),
)
def list_events(
    request: Request,
    caller: Reader,
    session: Reading,
    job_id: str,
    after: Seq = 0,
    limit: Limit = 200,
    last_event_id: Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=2**53)] = None,
) -> Response:
    """What has happened, oldest first; or, with `Accept: text/event-stream`, what happens.

    The stream begins behind `Last-Event-ID` (or `after`), sends a comment every 15 seconds, and
    ends when the job has finished.
    """
    if EventSourceResponse.media_type in request.headers.get("accept", ""):
        return _stream(request, caller, session, job_id, last_event_id or after)
    found = history.events(session, caller.project_id, job_id, after, limit)
    data = [Event.of(row).model_dump(mode="json") for row in found.rows]
    return JSONResponse(page_of(*data, next_cursor=cursor(found)))


def cursor(found: history.NumberedRows[Any]) -> str | None:
    return None if found.next_number is None else str(found.next_number)


def _stream(
    request: Request, caller: Caller, session: Session, job_id: str, after: int
) -> StreamingResponse:
    service.get(session, caller.project_id, job_id)
    poller = request.app.state.poller
    poller.refuse_if_full()
    return EventSourceResponse(poller.watch(job_id, after), headers={"X-Accel-Buffering": "no"})
