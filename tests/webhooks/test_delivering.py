"""Deliveries on a real database to a real receiver: signed, tried again, given up, once each."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, update
from standardwebhooks import Webhook

from core import encryption
from core.database.clock import database_now
from core.database.sessions import Sessions
from core.database.states import JobState
from core.database.tables import Job, WebhookDelivery, WebhookEndpoint
from core.jobs.transitions import move
from core.settings import Settings
from core.webhooks.announcing import TEST, add_deliveries
from core.webhooks.delivering import (
    RETRY_AFTER_S,
    Deliverer,
    claim_due,
    deliver,
    forget_deliveries,
)
from core.webhooks.sending import MOST_ANSWER_BYTES
from core.webhooks.signatures import new_secret
from tests.factories import DEFAULT_PROJECT, make_job, make_project, make_webhook_endpoint
from tests.webhooks.receiver import Receiver

SECRET = new_secret()


@pytest.fixture
def open_settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhooks_allow_private": True})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def endpoint(sessions: Sessions, settings: Settings, url: str, **values: object) -> str:
    encrypted = encryption.encrypt(SECRET, "webhook secret", settings)
    with sessions.begin() as session:
        return make_webhook_endpoint(session, url=url, encrypted_secret=encrypted, **values).id


def tell(sessions: Sessions, endpoint_id: str) -> str:
    with sessions.begin() as session:
        row = session.get_one(WebhookEndpoint, endpoint_id)
        return add_deliveries(session, [row], TEST, {"endpoint": endpoint_id})[0].id


def row_of(sessions: Sessions, delivery_id: str) -> WebhookDelivery:
    with sessions() as session:
        return session.get_one(WebhookDelivery, delivery_id)


def make_due(sessions: Sessions, delivery_id: str) -> None:
    with sessions.begin() as session:
        session.execute(
            update(WebhookDelivery)
            .where(WebhookDelivery.id == delivery_id)
            .values(next_at=database_now(-1))
        )


def send_due(sessions: Sessions, settings: Settings) -> int:
    claimed = claim_due(sessions)
    for one in claimed:
        deliver(sessions, one, settings)
    return len(claimed)


def test_a_finished_job_is_told_of_in_its_own_transaction(
    sessions: Sessions, open_settings: Settings, receiver: Receiver
) -> None:
    endpoint(sessions, open_settings, receiver.url)
    endpoint(sessions, open_settings, receiver.url, events=["job.failed"])
    with sessions.begin() as session:
        make_project(session, id="prj_other")
    endpoint(sessions, open_settings, receiver.url, project_id="prj_other")
    with sessions.begin() as session:
        job = make_job(session, name="mine", state=JobState.RUNNING, result={"headline": "f1"})
        move(session, JobState.RUNNING, JobState.SUCCEEDED, Job.id == job.id)
        job_id = job.id
    with sessions() as session:
        (row,) = session.scalars(select(WebhookDelivery)).all()
    assert (row.type, row.job_id, row.state) == ("job.succeeded", job_id, "pending")
    assert send_due(sessions, open_settings) == 1
    (got,) = receiver.received
    told = Webhook(SECRET).verify(got.body, got.headers)
    assert told["type"] == "job.succeeded"
    assert told["data"]["id"] == job_id
    assert told["data"]["status"] == "succeeded"
    assert told["data"]["result"] == {"headline": "f1"}
    assert row_of(sessions, row.id).state == "delivered"


def test_a_change_that_does_not_take_place_is_not_told_of(
    sessions: Sessions, open_settings: Settings, receiver: Receiver
) -> None:
    endpoint(sessions, open_settings, receiver.url)
    with sessions() as session:
        job = make_job(session, state=JobState.RUNNING)
        move(session, JobState.RUNNING, JobState.SUCCEEDED, Job.id == job.id)
        assert session.scalars(select(WebhookDelivery)).one()
        session.rollback()
    assert claim_due(sessions) == []


def test_what_fails_is_tried_again_under_its_own_id(
    sessions: Sessions, open_settings: Settings
) -> None:
    with Receiver(statuses=(500, 302, 204), answer=b"busy", location="http://x/") as receiver:
        delivery = tell(sessions, endpoint(sessions, open_settings, receiver.url))
        for attempt in (1, 2):
            assert send_due(sessions, open_settings) == 1
            assert send_due(sessions, open_settings) == 0
            row = row_of(sessions, delivery)
            assert (row.state, row.attempt_count) == ("pending", attempt)
            assert row.next_at is not None
            make_due(sessions, delivery)
        send_due(sessions, open_settings)
        row = row_of(sessions, delivery)
        assert [each["status"] for each in row.attempts] == [500, 302, 204]
        assert row.attempts[0]["answer"] == "busy"
        assert (row.state, row.next_at) == ("delivered", None)
        bodies = {got.body for got in receiver.received}
        ids = {got.headers["webhook-id"] for got in receiver.received}
    assert len(bodies) == 1
    assert ids == {delivery}


def test_after_the_last_wait_it_is_given_up(sessions: Sessions, open_settings: Settings) -> None:
    delivery = tell(sessions, endpoint(sessions, open_settings, "http://127.0.0.1:9/hook"))
    for _ in range(len(RETRY_AFTER_S) + 1):
        assert row_of(sessions, delivery).state == "pending"
        make_due(sessions, delivery)
        assert send_due(sessions, open_settings) == 1
    row = row_of(sessions, delivery)
    assert (row.state, row.next_at) == ("failed", None)
    assert len(row.attempts) == 9
    assert "refused" in row.attempts[0]["error"].lower()
    assert 31 * 3600 < sum(RETRY_AFTER_S) < 33 * 3600


def test_gone_ends_the_delivery_and_disables_the_endpoint(
    sessions: Sessions, open_settings: Settings
) -> None:
    with Receiver(statuses=(410,)) as receiver:
        endpoint_id = endpoint(sessions, open_settings, receiver.url)
        delivery = tell(sessions, endpoint_id)
        send_due(sessions, open_settings)
    assert row_of(sessions, delivery).state == "failed"
    with sessions.begin() as session:
        row = session.get_one(WebhookEndpoint, endpoint_id)
        assert row.disabled_at is not None
        assert "410" in (row.disabled_because or "")
        job = make_job(session, state=JobState.RUNNING)
        move(session, JobState.RUNNING, JobState.SUCCEEDED, Job.id == job.id)
    assert claim_due(sessions) == []


def test_a_private_address_is_never_connected_to(
    sessions: Sessions, settings: Settings, receiver: Receiver
) -> None:
    url = receiver.url.replace("http:", "https:")
    delivery = tell(sessions, endpoint(sessions, settings, url))
    send_due(sessions, settings)
    (attempt,) = row_of(sessions, delivery).attempts
    assert "no address of the public internet" in attempt["error"]
    assert receiver.received == []


def test_one_of_many_processes_sends(
    sessions: Sessions, open_settings: Settings, receiver: Receiver
) -> None:
    ids = [endpoint(sessions, open_settings, receiver.url) for _ in range(4)]
    for endpoint_id in ids:
        tell(sessions, endpoint_id)
    with ThreadPoolExecutor(6) as pool:
        claims = list(pool.map(lambda _: claim_due(sessions), range(6)))
    assert len([one for claimed in claims for one in claimed]) == 4


def test_a_long_answer_is_read_to_a_bound(sessions: Sessions, open_settings: Settings) -> None:
    with Receiver(statuses=(200,), answer=b"x" * 1_000_000) as receiver:
        delivery = tell(sessions, endpoint(sessions, open_settings, receiver.url))
        send_due(sessions, open_settings)
    assert row_of(sessions, delivery).attempts[0]["answer"] == "x" * MOST_ANSWER_BYTES


def test_a_slow_receiver_holds_up_itself_alone(
    sessions: Sessions, open_settings: Settings, receiver: Receiver
) -> None:
    with Receiver(delay_s=3) as slow:
        for _ in range(3):
            tell(sessions, endpoint(sessions, open_settings, slow.url))
        fast = endpoint(sessions, open_settings, receiver.url)
        for _ in range(3):
            tell(sessions, fast)
        deliverer = Deliverer(open_settings)
        deliverer.start()
        started = time.monotonic()
        receiver.wait_for(3)
        slow.wait_for(3)
        deliverer.stop()
    assert time.monotonic() - started < 12
    with sessions() as session:
        rows = session.scalars(select(WebhookDelivery)).all()
    assert {row.state for row in rows} == {"delivered"}


def test_old_deliveries_are_forgotten_unless_on_their_way(
    sessions: Sessions, open_settings: Settings, receiver: Receiver
) -> None:
    endpoint_id = endpoint(sessions, open_settings, receiver.url)
    old, waiting, young = (tell(sessions, endpoint_id) for _ in range(3))
    with sessions.begin() as session:
        for name, state, age in (
            (old, "failed", -31 * 86_400),
            (waiting, "pending", -31 * 86_400),
            (young, "failed", -86_400),
        ):
            session.execute(
                update(WebhookDelivery)
                .where(WebhookDelivery.id == name)
                .values(state=state, created_at=database_now(age))
            )
    forget_deliveries(sessions)
    with sessions() as session:
        assert set(session.scalars(select(WebhookDelivery.id))) == {waiting, young}


def test_bodies_are_plain_json(sessions: Sessions, open_settings: Settings) -> None:
    delivery = tell(sessions, endpoint(sessions, open_settings, "http://127.0.0.1:9/"))
    body = json.loads(row_of(sessions, delivery).body)
    assert set(body) == {"type", "timestamp", "data"}
    assert DEFAULT_PROJECT not in row_of(sessions, delivery).body
