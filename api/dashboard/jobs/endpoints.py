"""The list of jobs, one job, and what is asked of them by buttons."""

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, BackgroundTasks, Form, Header, Query, Request, Response, status
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from fastapi.sse import EventSourceResponse

from api.artifacts import service as artifacts
from api.dashboard.jobs import queries
from api.dashboard.jobs.frame import askable, job_frame
from api.dashboard.jobs.overview import overview
from api.dashboard.jobs.rendering import render_job
from api.dashboard.jobs.views import job_list
from api.dashboard.pages import HOME, PageRoute, render
from api.dashboard.refusals import key_may_only_read
from api.dashboard.session import SentForm, SignedIn
from api.dependencies import CurrentSettings, CurrentStorage, Reading, Writing
from api.jobs import service as jobs
from core.database.states import JobState
from core.database.tables import now

LARGEST_FORM = 16_384
Asked = Literal["cancel", "pause", "resume", "retry"]

router = APIRouter(
    prefix="/dashboard",
    route_class=PageRoute,
    include_in_schema=False,
    max_body_size=LARGEST_FORM,
)


@router.get("")
@router.get("/")
def show_jobs(
    request: Request,
    viewer: SignedIn,
    reading: Reading,
    status: Annotated[str, Query(max_length=20)] = "",
    name: Annotated[str, Query(max_length=200)] = "",
    after: Annotated[str | None, Query(max_length=200)] = None,
) -> HTMLResponse:
    state = JobState(status) if status in set(JobState) else None
    page = queries.jobs_page(reading, viewer.caller.project_id, state, name.strip(), after or None)
    shown = job_list(page, state, name.strip(), after or None, now())
    address = str(request.base_url).rstrip("/")
    return render(
        "jobs.html",
        list=shown,
        csrf=viewer.csrf,
        may_submit=viewer.may_submit,
        address=address,
    )


@router.get("/jobs/{job_id}")
def show_job(viewer: SignedIn, reading: Reading, job_id: str) -> HTMLResponse:
    row = jobs.get(reading, viewer.caller.project_id, job_id)
    shown = overview(queries.whole_job(reading, row), now())
    return render_job("job.html", viewer, job_frame(row, "overview", now()), job=shown)


@router.get("/jobs/{job_id}/stream")
def stream_job(
    request: Request,
    viewer: SignedIn,
    job_id: str,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    last_event_id: Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=2**53)] = None,
) -> StreamingResponse:
    """The job's events for a page that is open, until the job has finished."""
    with request.app.state.read_sessions() as reading:
        jobs.get(reading, viewer.caller.project_id, job_id)
    poller = request.app.state.poller
    poller.refuse_if_full()
    seen = after if last_event_id is None else last_event_id
    return EventSourceResponse(poller.watch(job_id, seen), headers={"X-Accel-Buffering": "no"})


@router.get("/jobs/{job_id}/files/{name:path}")
def download_file(
    request: Request, viewer: SignedIn, storage: CurrentStorage, job_id: str, name: str
) -> Response:
    with request.app.state.read_sessions() as reading:
        row = artifacts.get(reading, viewer.caller.project_id, job_id, name)
    return artifacts.download(row, storage, request.headers, head=False)


@router.post("/jobs/{job_id}/{verb}")
def ask_of_job(
    request: Request,
    viewer: SentForm,
    writing: Writing,
    settings: CurrentSettings,
    background: BackgroundTasks,
    job_id: str,
    verb: Asked,
) -> RedirectResponse:
    """Cancel, pause, resume, retry; what its state does not allow is said on a page."""
    if not viewer.may_submit:
        raise key_may_only_read()
    asks = {"cancel": jobs.cancel, "pause": jobs.pause, "resume": jobs.resume}
    retry = partial(jobs.retry, max_queued=settings.max_queued_jobs)
    row = asks.get(verb, retry)(writing, viewer.caller.project_id, job_id)
    background.add_task(request.app.state.doorbell.ring, row.queue)
    return RedirectResponse(
        f"{HOME}/jobs/{job_id}", status.HTTP_303_SEE_OTHER, background=background
    )


@router.post("/cancel")
def cancel_jobs(
    viewer: SentForm,
    writing: Writing,
    job: Annotated[list[str], Form(max_length=200)] = [],  # noqa: B006
) -> RedirectResponse:
    """All of these that are not over."""
    if not viewer.may_submit:
        raise key_may_only_read()
    project_id = viewer.caller.project_id
    for job_id in job:
        if "cancel" in askable(jobs.get(writing, project_id, job_id)):
            jobs.cancel(writing, project_id, job_id)
    return RedirectResponse(HOME, status.HTTP_303_SEE_OTHER)
