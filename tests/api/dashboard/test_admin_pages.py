"""The library, and what admins do on pages: keys and webhooks."""

import re
from datetime import timedelta

from core.database.states import JobState
from core.database.tables import ApiKey, WebhookEndpoint, now
from tests.api.conftest import Api
from tests.api.dashboard.conftest import Browser, Jobs, text_of

ADMIN = "/dashboard/admin"


def test_the_library_lists_what_a_job_can_use(browser: Browser, api: Api) -> None:
    empty = text_of(browser.get("/dashboard/library"))
    assert "rankwise datasets upload" in empty
    assert "tiny under a root bert" in empty
    made = api.upload(name="reviews.csv").json()
    page = browser.get("/dashboard/library")
    assert f"reviews.csv {made['id']} text, label 20" in text_of(page)
    assert f'href="/dashboard/new?dataset={made["id"]}"' in page.text


def test_a_key_is_issued_shown_once_and_revoked(browser: Browser, api: Api) -> None:
    issued = browser.post(
        f"{ADMIN}/keys", csrf=browser.csrf(ADMIN), name="pipeline", scope="submit"
    )
    (token,) = re.findall(r"rw_[0-9a-f_]{80,}", issued.text)
    assert api.http.get("/v1/jobs", headers={"Authorization": f"Bearer {token}"}).is_success
    page = browser.get(ADMIN)
    assert token not in page.text
    assert "pipeline key_" in text_of(page)
    key_id = f"key_{token.split('_')[1]}"
    csrf = browser.csrf(ADMIN)
    assert browser.post(f"{ADMIN}/keys/{key_id}/revoke", csrf=csrf).status_code == 303
    assert "submit revoked" in text_of(browser.get(ADMIN))


def test_a_webhook_is_added_tested_and_deleted(browser: Browser, api: Api) -> None:
    csrf = browser.csrf(ADMIN)
    added = browser.post(
        f"{ADMIN}/webhooks", csrf=csrf, url="https://1.1.1.1/hook", description="ci"
    )
    assert "whsec_" in added.text
    page = browser.get(ADMIN)
    assert "whsec_" not in page.text
    assert "Nothing has been sent yet." in text_of(page)
    (endpoint_id,) = set(re.findall(r"/webhooks/(wh_[0-9a-z]+)/", page.text))
    route = f"{ADMIN}/webhooks/{endpoint_id}"
    assert browser.post(f"{route}/test", csrf=csrf).status_code == 303
    page = browser.get(ADMIN)
    assert "webhook.test msg_" in text_of(page)
    (delivery_id,) = set(re.findall(r"/(msg_[0-9a-z]+)/redeliver", page.text))
    assert browser.post(f"{route}/{delivery_id}/redeliver", csrf=csrf).status_code == 303
    assert browser.post(f"{route}/delete", csrf=csrf).status_code == 303
    assert api.count(WebhookEndpoint) == 0


def test_an_address_that_is_refused_is_said_on_the_page(browser: Browser, api: Api) -> None:
    refused = browser.post(
        f"{ADMIN}/webhooks", csrf=browser.csrf(ADMIN), url="https://127.0.0.1/hook"
    )
    assert refused.status_code == 422
    assert "no address of the public internet" in refused.text
    assert api.count(WebhookEndpoint) == 0


def test_only_admins_come_here(api: Api, stranger: Browser) -> None:
    stranger.sign_in(api.key(["submit"]))
    keys = api.count(ApiKey)
    assert stranger.get(ADMIN).status_code == 403
    csrf = stranger.csrf("/dashboard")
    for route in ("keys", "webhooks", "webhooks/wh_1/test", "keys/key_1/revoke"):
        sent = stranger.post(f"{ADMIN}/{route}", csrf=csrf, scope="admin", url="https://1.1.1.1/")
        assert sent.status_code == 403, route
    assert api.count(ApiKey) == keys
    api.http.cookies.clear()


def test_the_queue_tells_who_works_and_what_waits(browser: Browser, jobs: Jobs) -> None:
    assert "0 jobs running, 0 waiting" in text_of(browser.get("/dashboard/queue"))
    jobs.add(queue="gpu")
    jobs.add(JobState.PAUSED, queue="gpu")
    silent = now() - timedelta(minutes=5)
    jobs.running(name="mine", owner="host-7:41", heartbeat_at=silent, stage="finetune")
    page = text_of(browser.get("/dashboard/queue"))
    assert "1 job running, 1 waiting" in page
    assert "host-7:41 mine finetune 1" in page
    assert "5 min ago silent" in page
    assert "gpu 1 1 just now" in page
