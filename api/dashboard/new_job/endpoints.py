"""/dashboard/new: a job is put together, its plan redrawn at every change, and queued."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, status
from fastapi import Form as FormField
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import ValidationError

from api.dashboard.new_job.form import USUAL_KEEP, Form
from api.dashboard.new_job.view import Desk, in_words
from api.dashboard.pages import PageRoute, render
from api.dashboard.refusals import key_may_only_read
from api.dashboard.session import SentForm, SignedIn, Viewer
from api.dependencies import CurrentSessions, CurrentSettings, CurrentStorage, Reading
from api.jobs.service import prepare_submission
from api.problems import Problem
from core.errors import CompressionError

router = APIRouter(
    prefix="/dashboard/new",
    route_class=PageRoute,
    include_in_schema=False,
    max_body_size=16_384,
)

Field = Annotated[str, FormField(max_length=300)]


def sent_fields(
    model: Field = "",
    hub: Field = "",
    dataset: Field = "",
    task: Field = "text-classification",
    text: Field = "",
    label: Field = "",
    preset: Field = "",
    keep: Annotated[float, FormField(gt=0, le=100)] = USUAL_KEEP,
    drop: Annotated[str, FormField(pattern=r"^([0-9]+(\.[0-9]+)?)?$", max_length=12)] = "",
    name: Annotated[str, FormField(max_length=200)] = "",
) -> Form:
    return Form(model, hub, dataset, task, text, label, preset, keep, drop, name)


def desk(
    request: Request,
    viewer: SignedIn,
    reading: Reading,
    settings: CurrentSettings,
    storage: CurrentStorage,
) -> Desk:
    address = str(request.base_url).rstrip("/")
    return Desk(reading, viewer.caller.project_id, settings, storage, address)


CurrentDesk = Annotated[Desk, Depends(desk)]


@router.get("")
def show_form(
    viewer: SignedIn, desk: CurrentDesk, form: Annotated[Form, Depends()]
) -> HTMLResponse:
    return _page(viewer, desk, form)


@router.post("")
def submit_form(
    request: Request,
    viewer: SentForm,
    desk: CurrentDesk,
    sessions: CurrentSessions,
    settings: CurrentSettings,
    storage: CurrentStorage,
    form: Annotated[Form, Depends(sent_fields)],
) -> Response:
    """Leads to the new job, or shows the form again with what was refused."""
    if not viewer.may_submit:
        raise key_may_only_read()
    try:
        write = prepare_submission(
            form.validated(), 0, viewer.caller.project_id, sessions, settings, storage
        )
        with sessions.begin() as session:
            job = write(session).body
    except (ValidationError, CompressionError, Problem) as error:
        return _page(viewer, desk, form, in_words(error))
    request.app.state.doorbell.ring("default")
    return RedirectResponse(f"/dashboard/jobs/{job['id']}", status.HTTP_303_SEE_OTHER)


def _page(viewer: Viewer, desk: Desk, form: Form, refusal: str = "") -> HTMLResponse:
    return render(
        "new_job.html",
        status.HTTP_422_UNPROCESSABLE_CONTENT if refusal else status.HTTP_200_OK,
        page=desk.page(form, refusal),
        csrf=viewer.csrf,
        may_submit=viewer.may_submit,
    )
