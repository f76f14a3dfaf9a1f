"""The pages of /dashboard/sweeps: the sweeps, and one of them."""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, status
from fastapi.responses import HTMLResponse, RedirectResponse

from api.dashboard.pages import PageRoute, render
from api.dashboard.refusals import key_may_only_read
from api.dashboard.session import SentForm, SignedIn
from api.dashboard.sweeps.view import sweep_line, sweep_page
from api.dependencies import CurrentSessions, CurrentSettings, CurrentStorage, Reading, Writing
from api.pagination import PageRequest
from api.sweeps import service, weighing
from api.sweeps.schemas import Cost, Promotion
from core.database.tables import now
from core.jobs import sweeps

SWEEPS_ON_A_PAGE = 25

router = APIRouter(
    prefix="/dashboard/sweeps",
    route_class=PageRoute,
    include_in_schema=False,
    max_body_size=4096,
)


@router.get("")
def show_sweeps(
    request: Request,
    viewer: SignedIn,
    reading: Reading,
    after: Annotated[str | None, Query(max_length=200)] = None,
) -> HTMLResponse:
    page = PageRequest(limit=SWEEPS_ON_A_PAGE, after=after or None)
    found = service.listed(reading, viewer.caller.project_id, page)
    statuses = sweeps.statuses_of(reading, [row.id for row in found.rows])
    lines = [sweep_line(row, statuses[row.id], now()) for row in found.rows]
    return render(
        "sweeps.html",
        sweeps=lines,
        next_cursor=found.next_cursor,
        is_later_page=bool(after),
        is_moving=any(line.over < line.total for line in lines),
        csrf=viewer.csrf,
        address=str(request.base_url).rstrip("/"),
    )


@router.get("/{sweep_id}")
def show_sweep(
    viewer: SignedIn,
    reading: Reading,
    sweep_id: str,
    against: Annotated[Cost, Query()] = "bytes",
) -> HTMLResponse:
    project_id = viewer.caller.project_id
    row = service.get(reading, project_id, sweep_id)
    shown = sweep_page(
        row,
        sweeps.statuses_of(reading, [row.id])[row.id],
        service.points(reading, project_id, sweep_id),
        weighing.pareto(reading, project_id, sweep_id, None, against),
        now(),
    )
    return render("sweep.html", sweep=shown, csrf=viewer.csrf, may_submit=viewer.may_submit)


@router.post("/{sweep_id}/cancel")
def cancel_sweep(viewer: SentForm, writing: Writing, sweep_id: str) -> RedirectResponse:
    if not viewer.may_submit:
        raise key_may_only_read()
    service.cancel(writing, viewer.caller.project_id, sweep_id)
    return RedirectResponse(f"/dashboard/sweeps/{sweep_id}", status.HTTP_303_SEE_OTHER)


@router.post("/{sweep_id}/promote")
def promote_point(
    request: Request,
    viewer: SentForm,
    sessions: CurrentSessions,
    settings: CurrentSettings,
    storage: CurrentStorage,
    sweep_id: str,
    job_id: Annotated[str, Form(max_length=64)],
) -> RedirectResponse:
    """Leads to the new job."""
    if not viewer.may_submit:
        raise key_may_only_read()
    promotion = Promotion(job_id=job_id)
    write = service.prepare_promotion(
        sweep_id, promotion, 0, viewer.caller.project_id, sessions, settings, storage
    )
    with sessions.begin() as session:
        job = write(session).body
    request.app.state.doorbell.ring("default")
    return RedirectResponse(f"/dashboard/jobs/{job['id']}", status.HTTP_303_SEE_OTHER)
