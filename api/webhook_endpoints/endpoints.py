from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response
from sqlalchemy.orm import Session

from api.bodies import JsonBody, Received
from api.dependencies import Admin, CurrentSettings, Reading, Writing
from api.idempotency import Answer, Idempotency
from api.operations import BODY_CODES, READ_CODES, WRITE_CODES, example, page_of, request_body
from api.pagination import Page, Paging
from api.problems import refusals
from api.webhook_endpoints import schemas, service
from core.webhooks.signatures import new_secret

router = APIRouter(prefix="/v1/webhook-endpoints", tags=["webhooks"])

Idempotent = Annotated[Idempotency, Depends()]
Create, Changes = schemas.WebhookEndpointCreate, schemas.WebhookEndpointChanges
WANTED = {"url": schemas.EXAMPLE["url"], "events": schemas.EXAMPLE["events"]}


@router.post(
    "",
    status_code=201,
    response_model=schemas.CreatedWebhookEndpoint,
    responses=example(schemas.CREATED, 201)
    | refusals(*WRITE_CODES, *BODY_CODES, "too_many_endpoints"),
    openapi_extra=request_body(Create, finished_jobs=WANTED),
)
def create_webhook_endpoint(
    caller: Admin,
    settings: CurrentSettings,
    body: Annotated[Received[schemas.WebhookEndpointCreate], Depends(JsonBody(Create))],
    idempotency: Idempotent,
) -> JSONResponse:
    """Tell an address of the project's jobs. The signing secret is in this answer and nowhere
    else."""
    service.check(body.content.url, settings)
    secret = new_secret()

    def write(session: Session) -> Answer:
        row = service.create(session, caller.project_id, body.content, secret, settings)
        shown = schemas.WebhookEndpoint.of(row).model_dump(mode="json")
        return Answer(201, shown | {"secret": secret}, stored_body=shown | {"secret": None})

    return idempotency.once(caller, body.sha256, lambda: write)


@router.get(
    "", responses=example(page_of(schemas.EXAMPLE)) | refusals(*READ_CODES, "invalid_cursor")
)
def list_webhook_endpoints(
    caller: Admin, session: Reading, page: Paging
) -> Page[schemas.WebhookEndpoint]:
    """The project's endpoints, disabled ones included."""
    found = service.listed(session, caller.project_id, page)
    return Page.of([schemas.WebhookEndpoint.of(row) for row in found.rows], found.next_cursor)


@router.get(
    "/{endpoint_id}", responses=example(schemas.EXAMPLE) | refusals(*READ_CODES, "not_found")
)
def get_webhook_endpoint(
    caller: Admin, session: Reading, endpoint_id: str
) -> schemas.WebhookEndpoint:
    """One endpoint, without its secret."""
    return schemas.WebhookEndpoint.of(service.get(session, caller.project_id, endpoint_id))


@router.patch(
    "/{endpoint_id}",
    responses=example(schemas.EXAMPLE) | refusals(*READ_CODES, *BODY_CODES, "not_found"),
    openapi_extra=request_body(Changes, "application/merge-patch+json", disable={"enabled": False}),
)
def change_webhook_endpoint(
    caller: Admin,
    session: Writing,
    settings: CurrentSettings,
    endpoint_id: str,
    body: Annotated[
        Received[schemas.WebhookEndpointChanges],
        Depends(JsonBody(Changes, "application/merge-patch+json")),
    ],
) -> schemas.WebhookEndpoint:
    """Change where it is, what it is told, or whether it is told at all."""
    if body.content.url is not None:
        service.check(body.content.url, settings)
    row = service.change(session, caller.project_id, endpoint_id, body.content)
    return schemas.WebhookEndpoint.of(row)


@router.delete("/{endpoint_id}", status_code=204, responses=refusals(*READ_CODES, "not_found"))
def delete_webhook_endpoint(caller: Admin, session: Writing, endpoint_id: str) -> Response:
    """Forget an endpoint and what was sent to it."""
    service.delete(session, caller.project_id, endpoint_id)
    return Response(status_code=204)


@router.post(
    "/{endpoint_id}/test",
    status_code=202,
    response_model=schemas.WebhookDelivery,
    responses=example(schemas.DELIVERY, 202) | refusals(*WRITE_CODES, "not_found"),
)
def test_webhook_endpoint(caller: Admin, endpoint_id: str, idempotency: Idempotent) -> JSONResponse:
    """Send a message of type `webhook.test`, to an endpoint that is disabled too."""

    def write(session: Session) -> Answer:
        row = service.send_test(session, caller.project_id, endpoint_id)
        return Answer(202, schemas.WebhookDelivery.of(row).model_dump(mode="json"))

    return idempotency.once(caller, "", lambda: write)


@router.get(
    "/{endpoint_id}/deliveries",
    responses=example(page_of(schemas.DELIVERY))
    | refusals(*READ_CODES, "not_found", "invalid_cursor"),
)
def list_webhook_deliveries(
    caller: Admin, session: Reading, endpoint_id: str, page: Paging
) -> Page[schemas.WebhookDelivery]:
    """What was sent, every attempt and what came of it; kept for 30 days."""
    found = service.deliveries(session, caller.project_id, endpoint_id, page)
    return Page.of([schemas.WebhookDelivery.of(row) for row in found.rows], found.next_cursor)


@router.post(
    "/{endpoint_id}/deliveries/{delivery_id}/redeliver",
    status_code=202,
    response_model=schemas.WebhookDelivery,
    responses=example(schemas.DELIVERY, 202) | refusals(*WRITE_CODES, "not_found"),
)
def redeliver_webhook(
    caller: Admin, endpoint_id: str, delivery_id: str, idempotency: Idempotent
) -> JSONResponse:
    """Send the same message again, under its own id."""

    def write(session: Session) -> Answer:
        row = service.redeliver(session, caller.project_id, endpoint_id, delivery_id)
        return Answer(202, schemas.WebhookDelivery.of(row).model_dump(mode="json"))

    return idempotency.once(caller, "", lambda: write)
