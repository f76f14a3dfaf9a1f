"""/dashboard/admin: keys, webhooks and retention, for admins."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, status
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import ValidationError
from sqlalchemy.orm import Session

from api.dashboard.admin.retention import Days, limits, read_policy
from api.dashboard.admin.view import endpoint_line, key_lines
from api.dashboard.pages import PageRoute, render
from api.dashboard.refusals import key_is_no_admin
from api.dashboard.session import SentForm, SignedIn, Viewer
from api.dependencies import CurrentSettings, Reading, Writing
from api.keys import service as keys
from api.pagination import PageRequest
from api.problems import Problem
from api.retention import service as retention
from api.webhook_endpoints import service as webhooks
from api.webhook_endpoints.schemas import WebhookEndpointCreate
from core import keys as tokens
from core.database.tables import now
from core.jobs.retention import policy_of
from core.keys import Scope
from core.settings import Settings
from core.webhooks.signatures import new_secret

ADMIN = "/dashboard/admin"
MOST_ROWS = PageRequest(limit=100)
DELIVERIES_SHOWN = PageRequest(limit=5)

router = APIRouter(
    prefix="/dashboard/admin", route_class=PageRoute, include_in_schema=False, max_body_size=16_384
)


@dataclass(frozen=True)
class ShownOnce:
    title: str
    secret: str


@router.get("")
def show_admin(viewer: SignedIn, reading: Reading, settings: CurrentSettings) -> HTMLResponse:
    _require_admin(viewer)
    return _page(reading, viewer, settings)


@router.post("/keys")
def issue_key(
    viewer: SentForm,
    writing: Writing,
    settings: CurrentSettings,
    scope: Annotated[Scope, Form()],
    name: Annotated[str, Form(max_length=200)] = "",
) -> HTMLResponse:
    _require_admin(viewer)
    token = tokens.generate()
    row = keys.issue(writing, viewer.caller.project_id, token, [scope], name.strip())
    return _page(writing, viewer, settings, ShownOnce(f"The key {row.name or row.id}", token))


@router.post("/keys/{key_id}/revoke")
def revoke_key(viewer: SentForm, writing: Writing, key_id: str) -> RedirectResponse:
    _require_admin(viewer)
    keys.revoke(writing, viewer.caller.project_id, key_id)
    return _back()


@router.post("/webhooks")
def add_webhook(
    viewer: SentForm,
    writing: Writing,
    settings: CurrentSettings,
    url: Annotated[str, Form(max_length=2000)],
    description: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    _require_admin(viewer)
    try:
        wanted = WebhookEndpointCreate(url=url, description=description)
        webhooks.check(wanted.url, settings)
        secret = new_secret()
        webhooks.create(writing, viewer.caller.project_id, wanted, secret, settings)
    except (ValidationError, Problem) as error:
        told = error.detail if isinstance(error, Problem) else "/url: is no address"
        return _page(writing, viewer, settings, refusal=told)
    return _page(
        writing, viewer, settings, ShownOnce(f"The signing secret of {wanted.url}", secret)
    )


@router.post("/webhooks/{endpoint_id}/test")
def test_webhook(viewer: SentForm, writing: Writing, endpoint_id: str) -> RedirectResponse:
    _require_admin(viewer)
    webhooks.send_test(writing, viewer.caller.project_id, endpoint_id)
    return _back()


@router.post("/webhooks/{endpoint_id}/delete")
def delete_webhook(viewer: SentForm, writing: Writing, endpoint_id: str) -> RedirectResponse:
    _require_admin(viewer)
    webhooks.delete(writing, viewer.caller.project_id, endpoint_id)
    return _back()


@router.post("/webhooks/{endpoint_id}/{delivery_id}/redeliver")
def redeliver_webhook(
    viewer: SentForm, writing: Writing, endpoint_id: str, delivery_id: str
) -> RedirectResponse:
    _require_admin(viewer)
    webhooks.redeliver(writing, viewer.caller.project_id, endpoint_id, delivery_id)
    return _back()


@router.post("/retention")
def set_retention(
    viewer: SentForm,
    writing: Writing,
    settings: CurrentSettings,
    artifacts: Days = "",
    events: Days = "",
    workspaces: Days = "",
    cache: Days = "",
) -> Response:
    """An empty field is for ever; workspaces go back to a day."""
    _require_admin(viewer)
    try:
        policy = read_policy(artifacts, events, workspaces, cache)
    except ValueError as error:
        return _page(writing, viewer, settings, refusal=str(error))
    retention.store(writing, viewer.caller.project_id, policy)
    return _back()


def _require_admin(viewer: Viewer) -> None:
    if not viewer.is_admin:
        raise key_is_no_admin()


def _back() -> RedirectResponse:
    return RedirectResponse(ADMIN, status.HTTP_303_SEE_OTHER)


def _page(
    session: Session,
    viewer: Viewer,
    settings: Settings,
    shown_once: ShownOnce | None = None,
    refusal: str = "",
) -> HTMLResponse:
    project_id, moment = viewer.caller.project_id, now()
    policy = policy_of(session, project_id)
    endpoints = webhooks.listed(session, project_id, MOST_ROWS).rows
    return render(
        "admin.html",
        status.HTTP_422_UNPROCESSABLE_CONTENT if refusal else status.HTTP_200_OK,
        keys=key_lines(keys.listed(session, project_id, MOST_ROWS).rows, moment),
        endpoints=[
            endpoint_line(
                row,
                webhooks.deliveries(session, project_id, row.id, DELIVERIES_SHOWN).rows,
                moment,
            )
            for row in endpoints
        ],
        limits=limits(policy, retention.preview(session, project_id, policy, settings)),
        shown_once=shown_once,
        refusal=refusal,
        csrf=viewer.csrf,
    )
