"""What a project's webhook endpoints are told, written down with the change that it tells of."""

import json
from collections.abc import Sequence
from typing import Any, Literal, get_args

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.database.clock import database_now
from core.database.identifiers import new_id
from core.database.states import shown_status
from core.database.tables import Job, WebhookDelivery, WebhookEndpoint, now

Kind = Literal["job.running", "job.paused", "job.succeeded", "job.failed", "job.cancelled"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FINISHING: tuple[Kind, ...] = ("job.succeeded", "job.failed", "job.cancelled")
TEST = "webhook.test"

RESULT = ("headline", "metrics", "params", "bytes", "latency")
"""Of a result; layers, events and files are for whoever asks."""


def announce(session: Session, kind: str, job_id: str, project_id: str) -> None:
    """A delivery to every endpoint of the project that wants to hear of this, in the session's
    transaction: it is sent if the change takes place, and only then."""
    if kind not in KINDS:
        return
    wanting = _wanting(session, kind, project_id)
    if wanting:
        job = session.get_one(Job, job_id, populate_existing=True)
        add_deliveries(session, wanting, kind, describe(job), job_id)


def add_deliveries(
    session: Session,
    endpoints: Sequence[WebhookEndpoint],
    kind: str,
    data: dict[str, Any],
    job_id: str | None = None,
) -> list[WebhookDelivery]:
    """The body is fixed here: what is sent again later is the same, byte by byte."""
    body = json.dumps(
        {"type": kind, "timestamp": now().isoformat(), "data": data}, separators=(",", ":")
    )
    rows = [
        WebhookDelivery(
            id=new_id("msg"),
            project_id=endpoint.project_id,
            endpoint_id=endpoint.id,
            job_id=job_id,
            type=kind,
            body=body,
            state="pending",
            next_at=database_now(),
            created_at=database_now(),
        )
        for endpoint in endpoints
    ]
    session.add_all(rows)
    session.flush()
    return rows


def describe(job: Job) -> dict[str, Any]:
    result = job.result or {}
    return {
        "id": job.id,
        "name": job.name,
        "labels": job.labels,
        "status": shown_status(job.state, job.requested),
        "sweep_id": job.sweep_id,
        "recipe_hash": job.recipe_hash,
        "result": {name: result[name] for name in RESULT if name in result} or None,
        "error": job.error,
        "artifact_sha256": job.artifact_sha256,
        "links": {"self": f"/v1/jobs/{job.id}", "artifacts": f"/v1/jobs/{job.id}/artifacts"},
    }


def _wanting(session: Session, kind: str, project_id: str) -> Sequence[WebhookEndpoint]:
    query = select(WebhookEndpoint).where(
        WebhookEndpoint.project_id == project_id, WebhookEndpoint.disabled_at.is_(None)
    )
    return [endpoint for endpoint in session.scalars(query) if kind in endpoint.events]
