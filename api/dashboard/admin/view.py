"""Keys and webhooks of the project, as tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from api.dashboard.moment import Moment
from api.keys.service import is_usable
from core.database.tables import ApiKey, WebhookDelivery, WebhookEndpoint

STATES = {"delivered": "succeeded", "failed": "failed", "pending": "queued"}
"""Deliveries wear the marks of jobs."""


@dataclass(frozen=True)
class KeyLine:
    id: str
    name: str
    scopes: str
    state: str
    is_usable: bool
    created: Moment
    used: Moment | None


@dataclass(frozen=True)
class DeliveryLine:
    id: str
    type: str
    mark: str
    state: str
    attempts: int
    last: str
    """What came of the last attempt."""
    created: Moment


@dataclass(frozen=True)
class EndpointLine:
    id: str
    url: str
    description: str
    events: str
    is_enabled: bool
    disabled_because: str
    deliveries: Sequence[DeliveryLine]


def key_lines(rows: Sequence[ApiKey], now: datetime) -> list[KeyLine]:
    return [
        KeyLine(
            id=row.id,
            name=row.name or "unnamed",
            scopes=", ".join(row.scopes),
            state=_key_state(row),
            is_usable=is_usable(row),
            created=Moment.of(row.created_at, now),
            used=None if row.last_used_at is None else Moment.of(row.last_used_at, now),
        )
        for row in rows
    ]


def _key_state(row: ApiKey) -> str:
    if row.revoked_at is not None:
        return "revoked"
    return "usable" if is_usable(row) else "expired"


def endpoint_line(
    row: WebhookEndpoint, deliveries: Sequence[WebhookDelivery], now: datetime
) -> EndpointLine:
    return EndpointLine(
        id=row.id,
        url=row.url,
        description=row.description,
        events=", ".join(event.removeprefix("job.") for event in row.events),
        is_enabled=row.disabled_at is None,
        disabled_because=row.disabled_because or "",
        deliveries=[_delivery_line(each, now) for each in deliveries],
    )


def _delivery_line(row: WebhookDelivery, now: datetime) -> DeliveryLine:
    last = row.attempts[-1] if row.attempts else None
    told = "" if last is None else last["error"] or f"{last['status']} in {last['seconds']:.2f} s"
    return DeliveryLine(
        id=row.id,
        type=row.type,
        mark=STATES[row.state],
        state=row.state,
        attempts=len(row.attempts),
        last=told,
        created=Moment.of(row.created_at, now),
    )
