from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.database.tables import WebhookDelivery as DeliveryTable
from core.database.tables import WebhookEndpoint as EndpointTable
from core.recipe.config import Array, Config
from core.webhooks.announcing import FINISHING, Kind

DeliveryState = Literal["pending", "delivered", "failed"]


class WebhookEndpointCreate(Config):
    """An address to be told of the project's jobs."""

    url: str = Field(min_length=1, max_length=2000)
    """https://, of a public address."""
    events: Array[Kind] = Field(default=FINISHING, min_length=1, max_length=16)
    description: str = Field(default="", max_length=200)


class WebhookEndpointChanges(Config):
    """What is not sent stays."""

    url: str | None = Field(default=None, min_length=1, max_length=2000)
    events: Array[Kind] | None = Field(default=None, min_length=1, max_length=16)
    description: str | None = Field(default=None, max_length=200)
    enabled: bool | None = None
    """False: what happens from now on is not told."""


class WebhookEndpoint(BaseModel):
    """An address that is told of the project's jobs."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    id: str
    url: str
    description: str
    events: list[Kind]
    enabled: bool
    disabled_because: str | None
    created_at: datetime

    @classmethod
    def of(cls, row: EndpointTable) -> "WebhookEndpoint":
        return cls(
            id=row.id,
            url=row.url,
            description=row.description,
            events=row.events,
            enabled=row.disabled_at is None,
            disabled_because=row.disabled_because,
            created_at=row.created_at,
        )


class CreatedWebhookEndpoint(WebhookEndpoint):
    """The answer to creating an endpoint: the only time the secret is shown."""

    secret: str | None
    """`whsec_…`: what receivers check signatures with. Null in the replayed answer to an
    Idempotency-Key."""


class Attempt(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    at: datetime
    status: int | None
    """HTTP; null where no answer came."""
    error: str | None
    answer: str
    """Its beginning."""
    seconds: float


class WebhookDelivery(BaseModel):
    """One message to an endpoint."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    object: Literal["webhook_delivery"] = "webhook_delivery"
    id: str
    """Sent as `webhook-id`; the same in every attempt."""
    type: str
    job_id: str | None
    state: DeliveryState
    body: str
    """As it is sent."""
    attempts: list[Attempt]
    next_at: datetime | None
    """When it is tried (again); null once it is over."""
    delivered_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, row: DeliveryTable) -> "WebhookDelivery":
        return cls.model_validate(
            {name: getattr(row, name) for name in cls.model_fields if name != "object"}
        )


EXAMPLE: dict[str, Any] = {
    "object": "webhook_endpoint",
    "id": "wh_01jt0v9d5k2m7x8c4b6n3q1w0e",
    "url": "https://ci.example.org/hooks/rankwise",
    "description": "release pipeline",
    "events": ["job.succeeded", "job.failed", "job.cancelled"],
    "enabled": True,
    "disabled_because": None,
    "created_at": "2026-05-04T09:30:00Z",
}
CREATED = EXAMPLE | {"secret": "whsec_" + "A" * 43 + "="}
DELIVERY: dict[str, Any] = {
    "object": "webhook_delivery",
    "id": "msg_01jt0v9d5k2m7x8c4b6n3q1w0e",
    "type": "job.succeeded",
    "job_id": "job_01jt0v4c2m8e0t7q5yz3h1kx9b",
    "state": "delivered",
    "body": '{"type":"job.succeeded","timestamp":"2026-05-04T09:41:00+00:00","data":{…}}',
    "attempts": [
        {
            "at": "2026-05-04T09:41:01Z",
            "status": 204,
            "error": None,
            "answer": "",
            "seconds": 0.182,
        }
    ],
    "next_at": None,
    "delivered_at": "2026-05-04T09:41:01Z",
    "created_at": "2026-05-04T09:41:00Z",
}
