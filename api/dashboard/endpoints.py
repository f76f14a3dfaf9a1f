"""The pages of /dashboard: the jobs, one job, and signing in."""

import re
import secrets
from functools import partial
from typing import Annotated, Literal, get_args

from fastapi import APIRouter, BackgroundTasks, Form, Header, Query, Request, Response, status
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from fastapi.sse import EventSourceResponse

from api.artifacts import service as artifacts
from api.comparisons import service as comparisons
from api.comparisons.endpoints import Compared
from api.dashboard import queries, session
from api.dashboard.assets import ASSETS, KEPT
from api.dashboard.compare_view import compare_page
from api.dashboard.job_view import askable, job_page
from api.dashboard.pages import SIGN_IN, PageRoute, render
from api.dashboard.refusals import foreign_form, key_may_only_read, not_found
from api.dashboard.session import FormToken, SentForm, SignedIn
from api.dashboard.views import job_list
from api.dependencies import CurrentSessions, CurrentSettings, CurrentStorage, Reading, Writing
from api.jobs import service as jobs
from api.keys import service as keys
from api.signing import CurrentSigner, Signer
from core.database.states import JobState
from core.database.tables import now
from core.recipe.events import Event

LARGEST_FORM = 16_384
HOME = "/dashboard"
OWN_ADDRESS = re.compile(r"/dashboard(/[a-z-]{1,20}(/[A-Za-z0-9_]{1,64})?)?", re.ASCII)
EVENT_TYPES = (
    *(event.model_fields["type"].default for event in get_args(get_args(Event)[0])),
    *(f"job.{state}" for state in JobState),
    *("job.pausing", "job.cancelling", "job.requeued"),
)
"""What a page listens for; a browser hears no event that it has not named."""

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


@router.get("/compare")
def compare_jobs(viewer: SignedIn, reading: Reading, job: Compared) -> HTMLResponse:
    found = comparisons.compare(reading, viewer.caller.project_id, job)
    return render("compare.html", page=compare_page(found), csrf=viewer.csrf)


@router.get("/jobs/{job_id}")
def show_job(viewer: SignedIn, reading: Reading, job_id: str) -> HTMLResponse:
    row = jobs.get(reading, viewer.caller.project_id, job_id)
    shown = job_page(queries.whole_job(reading, row), now())
    return render(
        "job.html",
        job=shown,
        csrf=viewer.csrf,
        may_submit=viewer.may_submit,
        event_types=EVENT_TYPES,
    )


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


@router.get("/sign-in")
def show_sign_in(
    request: Request, signer: CurrentSigner, next: Annotated[str, Query(max_length=200)] = HOME
) -> HTMLResponse:
    return _sign_in_page(request, signer, next, refused=False)


@router.post("/sign-in")
def sign_in(
    request: Request,
    signer: CurrentSigner,
    sessions: CurrentSessions,
    key: Annotated[str, Form(max_length=500)] = "",
    next: Annotated[str, Form(max_length=200)] = HOME,
    csrf: FormToken = "",
) -> Response:
    if not session.sign_in_form_is_ours(request, signer, csrf):
        raise foreign_form()
    row = keys.authenticate(request.app.state.read_sessions, sessions, key.strip())
    if row is None:
        return _sign_in_page(request, signer, next, refused=True)
    response = RedirectResponse(_own_address(next), status.HTTP_303_SEE_OTHER)
    session.start(response, request, signer, row.id)
    return response


@router.post("/sign-out")
def sign_out(viewer: SentForm) -> RedirectResponse:
    response = RedirectResponse(SIGN_IN, status.HTTP_303_SEE_OTHER)
    session.end(response)
    return response


@router.get("/static/{name}")
def get_asset(name: str) -> Response:
    asset = ASSETS.get(name)
    if asset is None:
        raise not_found("file")
    return Response(asset.content, media_type=asset.media_type, headers={"Cache-Control": KEPT})


def _sign_in_page(request: Request, signer: Signer, next: str, *, refused: bool) -> HTMLResponse:
    nonce = secrets.token_hex(16)
    response = render(
        "sign_in.html",
        status.HTTP_401_UNAUTHORIZED if refused else status.HTTP_200_OK,
        csrf=signer.signature("sign-in", nonce),
        next=_own_address(next),
        refused=refused,
    )
    session.offer_sign_in(response, request, nonce)
    return response


def _own_address(next: str) -> str:
    """Where to go on after signing in: a page of ours, whatever the address asked for."""
    return next if OWN_ADDRESS.fullmatch(next) else HOME
