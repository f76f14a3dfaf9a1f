"""Webhook endpoints of a project, and what was sent to them."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.pagination import PageRequest, Rows, fetch
from api.problems import Problem, invalid_field, not_found
from api.webhook_endpoints.schemas import WebhookEndpointChanges, WebhookEndpointCreate
from core import encryption
from core.database.clock import database_now
from core.database.identifiers import new_id
from core.database.tables import WebhookDelivery, WebhookEndpoint, now
from core.settings import Settings
from core.webhooks.addresses import AddressRefused, check_url
from core.webhooks.announcing import TEST, add_deliveries

MOST_ENDPOINTS = 20


def check(url: str, settings: Settings) -> None:
    """What can be refused before anything is sent; the host's addresses are looked at then."""
    try:
        check_url(url, settings.webhooks_allow_private)
    except AddressRefused as error:
        raise invalid_field("/url", str(error)) from None


def create(
    session: Session,
    project_id: str,
    wanted: WebhookEndpointCreate,
    secret: str,
    settings: Settings,
) -> WebhookEndpoint:
    query = select(func.count()).where(WebhookEndpoint.project_id == project_id)
    if session.scalars(query).one() >= MOST_ENDPOINTS:
        raise Problem("too_many_endpoints", f"a project has at most {MOST_ENDPOINTS}")
    row = WebhookEndpoint(
        id=new_id("wh"),
        project_id=project_id,
        url=wanted.url,
        description=wanted.description,
        events=list(wanted.events),
        encrypted_secret=encryption.encrypt(secret, "webhook secret", settings),
        created_at=now(),
    )
    session.add(row)
    session.flush()
    return row


def get(session: Session, project_id: str, id: str) -> WebhookEndpoint:
    row = session.get(WebhookEndpoint, id)
    if row is None or row.project_id != project_id:
        raise not_found("webhook endpoint", id)
    return row


def listed(session: Session, project_id: str, page: PageRequest) -> Rows[WebhookEndpoint]:
    query = select(WebhookEndpoint).where(WebhookEndpoint.project_id == project_id)
    return fetch(session, query, WebhookEndpoint.created_at, WebhookEndpoint.id, page)


def change(
    session: Session, project_id: str, id: str, wanted: WebhookEndpointChanges
) -> WebhookEndpoint:
    row = get(session, project_id, id)
    if wanted.url is not None:
        row.url = wanted.url
    if wanted.events is not None:
        row.events = list(wanted.events)
    if wanted.description is not None:
        row.description = wanted.description
    if wanted.enabled is not None:
        row.disabled_at = None if wanted.enabled else row.disabled_at or now()
        row.disabled_because = None
    session.flush()
    return row


def delete(session: Session, project_id: str, id: str) -> None:
    session.delete(get(session, project_id, id))


def send_test(session: Session, project_id: str, id: str) -> WebhookDelivery:
    endpoint = get(session, project_id, id)
    (row,) = add_deliveries(session, [endpoint], TEST, {"endpoint": endpoint.id})
    session.refresh(row)
    return row


def deliveries(
    session: Session, project_id: str, id: str, page: PageRequest
) -> Rows[WebhookDelivery]:
    get(session, project_id, id)
    query = select(WebhookDelivery).where(WebhookDelivery.endpoint_id == id)
    return fetch(session, query, WebhookDelivery.created_at, WebhookDelivery.id, page)


def redeliver(session: Session, project_id: str, id: str, delivery_id: str) -> WebhookDelivery:
    """The same message once more, from its first attempt on; one under way is sent at once."""
    get(session, project_id, id)
    row = session.get(WebhookDelivery, delivery_id, with_for_update=True)
    if row is None or row.endpoint_id != id:
        raise not_found("delivery", delivery_id)
    row.state, row.attempt_count, row.delivered_at = "pending", 0, None
    row.next_at = database_now()
    session.flush()
    session.refresh(row)
    return row
