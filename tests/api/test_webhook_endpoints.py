"""Webhook endpoints over HTTP: secrets shown once, addresses checked, deliveries looked into."""

import time

import pytest
from standardwebhooks import Webhook

from core.database.tables import WebhookDelivery, WebhookEndpoint
from core.settings import Settings
from tests.api.conftest import Api, Json
from tests.webhooks.receiver import Receiver

PUBLIC = "https://1.1.1.1/hook"


@pytest.fixture
def api_settings(api_settings: Settings) -> Settings:
    return api_settings.model_copy(update={"webhooks_allow_private": True})


def create(api: Api, **changes: object) -> Json:
    answer = api.post("/v1/webhook-endpoints", {"url": PUBLIC, **changes})
    assert answer.status_code == 201, answer.text
    created: Json = answer.json()
    return created


def until_over(api: Api, route: str) -> Json:
    deadline = time.monotonic() + 20
    while True:
        found: Json = api.get(route).json()["data"][0]
        if found["state"] != "pending" or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def test_an_endpoint_is_made_changed_and_deleted(api_on_each: Api) -> None:
    api = api_on_each
    made = create(api, description="ci")
    assert made["secret"].startswith("whsec_")
    assert made["events"] == ["job.succeeded", "job.failed", "job.cancelled"]
    route = f"/v1/webhook-endpoints/{made['id']}"
    shown = {name: value for name, value in made.items() if name != "secret"}
    assert api.get(route).json() == shown
    assert api.get("/v1/webhook-endpoints").json()["data"] == [shown]
    changed = api.patch(route, {"events": ["job.failed"], "enabled": False}).json()
    assert (changed["events"], changed["enabled"]) == (["job.failed"], False)
    assert changed["description"] == "ci"
    assert api.patch(route, {"enabled": True}).json()["enabled"] is True
    assert api.delete(route).status_code == 204
    assert api.get(route).status_code == 404


def test_the_secret_is_shown_once_and_stored_encrypted(api: Api) -> None:
    key = {"Idempotency-Key": "one"}
    first, again = (
        api.post("/v1/webhook-endpoints", {"url": PUBLIC}, **key).json() for _ in range(2)
    )
    assert again["secret"] is None
    assert first["id"] == again["id"]
    with api.session() as session:
        row = session.get_one(WebhookEndpoint, first["id"])
    assert first["secret"] not in row.encrypted_secret


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"url": "ftp://example.org"}, "/url"),
        ({"url": "https://user@example.org/"}, "/url"),
        ({"url": PUBLIC, "events": ["job.exploded"]}, "/events/0"),
        ({"url": PUBLIC, "events": []}, "/events"),
        ({"url": PUBLIC, "secret": "mine"}, "/secret"),
        ({}, "/url"),
    ],
)
def test_bad_endpoints_are_refused_by_field(api: Api, body: Json, pointer: str) -> None:
    refused = api.post("/v1/webhook-endpoints", body)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
    assert api.count(WebhookEndpoint) == 0


def test_a_project_has_a_bounded_number(api: Api) -> None:
    for _ in range(20):
        create(api)
    refused = api.post("/v1/webhook-endpoints", {"url": PUBLIC})
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_endpoints")


def test_a_test_message_is_sent_and_sent_again(api: Api) -> None:
    with Receiver(statuses=(204, 500, 204)) as receiver:
        made = create(api, url=receiver.url)
        route = f"/v1/webhook-endpoints/{made['id']}"
        sent = api.post(f"{route}/test")
        assert sent.status_code == 202
        found = until_over(api, f"{route}/deliveries")
        assert (found["id"], found["state"]) == (sent.json()["id"], "delivered")
        (got,) = receiver.received
        assert Webhook(made["secret"]).verify(got.body, got.headers)["type"] == "webhook.test"
        again = api.post(f"{route}/deliveries/{found['id']}/redeliver")
        assert again.json()["state"] == "pending"
        receiver.wait_for(2)
    assert receiver.received[1].body == got.body
    assert receiver.received[1].headers["webhook-id"] == found["id"]
    assert api.post(f"{route}/deliveries/msg_x/redeliver").status_code == 404


def test_only_admins_of_the_project_see_endpoints(api: Api) -> None:
    made = create(api)
    route = f"/v1/webhook-endpoints/{made['id']}"
    other = api.as_project("prj_other")
    assert other.get("/v1/webhook-endpoints").json()["data"] == []
    assert other.get(route).status_code == 404
    assert other.get(f"{route}/deliveries").status_code == 404
    assert other.patch(route, {"enabled": False}).status_code == 404
    assert other.post(f"{route}/test").status_code == 404
    assert other.delete(route).status_code == 404
    submitter = {"Authorization": f"Bearer {api.key(['submit'])}"}
    assert api.http.get(route, headers=submitter).status_code == 403
    assert api.count(WebhookDelivery) == 0
