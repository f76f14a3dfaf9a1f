"""Deliveries on their way: claimed one by one, sent, tried again ever more rarely.

A claim moves `next_at` past the longest that a sender takes, so that of two processes one sends. A
process that dies leaves a delivery that is due again: receivers may get one twice, with one id.
"""

import threading
import time
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from core import encryption
from core.database.clock import database_now
from core.database.sessions import Sessions, make_engine, make_sessions, read_only
from core.database.tables import WebhookDelivery, WebhookEndpoint, now
from core.settings import Settings
from core.webhooks.sending import WHOLE_S, Outcome, send
from core.webhooks.signatures import signed_headers

log = structlog.get_logger(__name__)

RETRY_AFTER_S = (5, 60, 300, 1800, 7200, 18_000, 36_000, 50_400)
"""The wait after each attempt that failed; after nine in 32 hours it is given up."""
CLAIMED_FOR_S = 2 * WHOLE_S
AT_ONCE = 8
"""Sent side by side, to as many endpoints: one that is slow holds up itself alone."""
LOOK_EVERY_S = 1.0
KEPT_S = 30 * 86_400.0


@dataclass(frozen=True)
class Claimed:
    id: str
    endpoint_id: str
    url: str
    encrypted_secret: str
    body: str
    attempt: int
    """From 1."""


def claim_due(
    sessions: Sessions, limit: int = AT_ONCE, busy: Collection[str] = ()
) -> list[Claimed]:
    """Of each endpoint that is not busy the delivery that has been due longest."""
    with read_only(sessions)() as session:
        due = session.execute(
            select(WebhookDelivery, WebhookEndpoint)
            .join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.endpoint_id)
            .where(WebhookDelivery.state == "pending", WebhookDelivery.next_at <= database_now())
            .where(WebhookDelivery.endpoint_id.not_in(busy))
            .order_by(WebhookDelivery.next_at, WebhookDelivery.id)
            .limit(50 * AT_ONCE)
        ).all()
    chosen: dict[str, tuple[WebhookDelivery, WebhookEndpoint]] = {}
    for delivery, endpoint in due:
        chosen.setdefault(endpoint.id, (delivery, endpoint))
    pairs = list(chosen.values())[:limit]
    return [claimed for pair in pairs if (claimed := _claimed(sessions, *pair)) is not None]


def _claimed(
    sessions: Sessions, delivery: WebhookDelivery, endpoint: WebhookEndpoint
) -> Claimed | None:
    """None where another process was faster."""
    with sessions.begin() as session:
        taken = session.execute(
            update(WebhookDelivery)
            .where(
                WebhookDelivery.id == delivery.id,
                WebhookDelivery.state == "pending",
                WebhookDelivery.attempt_count == delivery.attempt_count,
                WebhookDelivery.next_at <= database_now(),
            )
            .values(attempt_count=delivery.attempt_count + 1, next_at=database_now(CLAIMED_FOR_S))
            .returning(WebhookDelivery.id)
            .execution_options(synchronize_session=False)
        ).one_or_none()
    if taken is None:
        return None
    return Claimed(
        delivery.id,
        endpoint.id,
        endpoint.url,
        endpoint.encrypted_secret,
        delivery.body,
        delivery.attempt_count + 1,
    )


def deliver(sessions: Sessions, claimed: Claimed, settings: Settings) -> Outcome:
    """Send it, and write down what came of it."""
    secret = encryption.decrypt(claimed.encrypted_secret, "webhook secret", settings)
    if secret is None:
        outcome = Outcome(None, "", "the secret was stored under another RANKWISE_SECRET_KEY", 0)
    else:
        body = claimed.body.encode()
        signed = signed_headers(secret, claimed.id, int(time.time()), body)
        outcome = send(
            claimed.url,
            {"Content-Type": "application/json", "User-Agent": "Rankwise", **signed},
            body,
            allow_private=settings.webhooks_allow_private,
        )
    with sessions.begin() as session:
        _record(session, claimed, outcome)
    log.info("webhook.sent", delivery_id=claimed.id, status=outcome.status, error=outcome.error)
    return outcome


def _record(session: Session, claimed: Claimed, outcome: Outcome) -> None:
    row = session.get(WebhookDelivery, claimed.id, with_for_update=True)
    if row is None or row.attempt_count != claimed.attempt:
        return  # its endpoint was deleted, or a later attempt knows better
    row.attempts = [
        *row.attempts,
        {
            "at": now().isoformat(),
            "status": outcome.status,
            "error": outcome.error,
            "answer": outcome.answer,
            "seconds": round(outcome.seconds, 3),
        },
    ]
    row.state, wait_s = _next_state(claimed.attempt, outcome)
    row.next_at = None if wait_s is None else database_now(wait_s)
    row.delivered_at = now() if outcome.delivered else None
    if outcome.is_gone:
        session.execute(
            update(WebhookEndpoint)
            .where(WebhookEndpoint.id == claimed.endpoint_id)
            .values(disabled_at=database_now(), disabled_because="its receiver answered 410 Gone")
        )


def _next_state(attempt: int, outcome: Outcome) -> tuple[str, float | None]:
    if outcome.delivered:
        return "delivered", None
    if outcome.is_gone or attempt > len(RETRY_AFTER_S):
        return "failed", None
    return "pending", RETRY_AFTER_S[attempt - 1]


def forget_deliveries(sessions: Sessions) -> None:
    """Of all projects, those that are over and old."""
    old = WebhookDelivery.created_at < database_now(-KEPT_S)
    with sessions.begin() as session:
        session.execute(delete(WebhookDelivery).where(old, WebhookDelivery.state != "pending"))


class Deliverer(threading.Thread):
    """Sends what is due, until stopped. Any number may run."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(name="webhooks", daemon=True)
        self._settings = settings
        self._engine = make_engine(settings)
        self._sessions = make_sessions(self._engine)
        self._stopping = threading.Event()
        self._sending: dict[str, Future[Outcome]] = {}
        """By endpoint."""

    def run(self) -> None:
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook") as pool:
            while not self._stopping.wait(LOOK_EVERY_S):
                try:
                    self._look(pool)
                except Exception as error:
                    log.warning("webhooks.failed", error=str(error))
        self._engine.dispose()

    def _look(self, pool: ThreadPoolExecutor) -> None:
        self._sending = {id: sent for id, sent in self._sending.items() if not sent.done()}
        free = AT_ONCE - len(self._sending)
        if free:
            for claimed in claim_due(self._sessions, free, self._sending):
                sent = pool.submit(deliver, self._sessions, claimed, self._settings)
                self._sending[claimed.endpoint_id] = sent

    def stop(self) -> None:
        """Returns when what is being sent has been sent."""
        self._stopping.set()
        self.join()
