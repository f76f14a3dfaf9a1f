"""Signing in and out, forms, and what the cookie opens."""

import pytest

from api.dashboard.session import LIFETIME, key_of, session_token
from api.signing import Signer, session_secret
from core import keys
from core.database.states import JobState
from core.database.tables import ApiKey, Job, now
from core.settings import Settings
from tests.api.conftest import Api
from tests.api.dashboard.conftest import Browser, Jobs, text_of
from tests.factories import make_artifact

SIGNER = Signer(b"a secret")


def test_a_key_opens_a_session_in_a_strict_cookie_that_scripts_cannot_read(
    stranger: Browser, api: Api
) -> None:
    response = stranger.sign_in(api.token)
    assert response.status_code == 303
    assert response.headers["location"] == "/dashboard"
    cookie = response.headers["set-cookie"].lower()
    assert "rankwise_session=" in cookie
    for flag in ("httponly", "samesite=strict", "path=/dashboard"):
        assert flag in cookie
    assert api.token not in str(response.headers)
    assert stranger.get("/dashboard").status_code == 200


def test_the_cookie_is_secure_where_the_connection_is(api: Api) -> None:
    api.http.base_url = "https://testserver"
    response = Browser(api).sign_in(api.token)
    assert "secure" in response.headers["set-cookie"].lower()


@pytest.mark.parametrize("token", ["", "rw_nonsense", pytest.param(keys.generate(), id="nobody's")])
def test_a_wrong_key_stays_outside_and_is_not_shown_again(stranger: Browser, token: str) -> None:
    response = stranger.sign_in(token)
    assert response.status_code == 401
    assert "not valid here" in response.text
    assert not token or token not in response.text
    assert stranger.get("/dashboard").status_code == 303


@pytest.mark.parametrize(
    "address", ["/dashboard", "/dashboard/jobs/job_1", "/dashboard/jobs/job_1/stream"]
)
def test_who_is_not_signed_in_is_led_to_the_sign_in_page(stranger: Browser, address: str) -> None:
    response = stranger.get(address)
    assert response.status_code == 303
    assert response.headers["location"] == f"/dashboard/sign-in?next={address}"


def test_after_signing_in_the_wanted_page_opens(stranger: Browser, api: Api) -> None:
    response = stranger.sign_in(api.token, next="/dashboard/jobs/job_1")
    assert response.headers["location"] == "/dashboard/jobs/job_1"


@pytest.mark.parametrize(
    "next", ["//evil.example", "/dashboard//evil", "https://evil.example", "/v1"]
)
def test_signing_in_leads_to_no_foreign_address(stranger: Browser, api: Api, next: str) -> None:
    assert stranger.sign_in(api.token, next=next).headers["location"] == "/dashboard"


def test_a_link_from_another_site_gets_a_second_chance_to_bring_its_cookie(
    stranger: Browser,
) -> None:
    response = stranger.get("/dashboard/jobs/job_1", **{"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 200
    assert 'content="0; url=/dashboard/jobs/job_1"' in response.text


def test_a_sign_in_form_of_another_page_is_refused(stranger: Browser, api: Api) -> None:
    assert stranger.post("/dashboard/sign-in", key=api.token, csrf="x").status_code == 403
    assert stranger.sign_in(api.token, csrf="0" * 64).status_code == 403
    assert stranger.get("/dashboard").status_code == 303


def test_a_revoked_key_ends_its_sessions(browser: Browser, api: Api) -> None:
    assert browser.get("/dashboard").status_code == 200
    key = keys.parse(api.token)
    assert key
    with api.session() as session, session.begin():
        session.get_one(ApiKey, key.id).revoked_at = now()
    assert browser.get("/dashboard").status_code == 303


def test_signing_out_needs_the_form_and_ends_the_session(browser: Browser) -> None:
    assert browser.post("/dashboard/sign-out").status_code == 403
    csrf = browser.csrf("/dashboard")
    assert browser.post("/dashboard/sign-out", csrf=csrf).status_code == 303
    assert browser.get("/dashboard").status_code == 303


def test_the_rest_routes_take_no_cookie(browser: Browser) -> None:
    assert browser.get("/v1/jobs").status_code == 401


def test_cancelling_needs_the_form_of_this_session(browser: Browser, jobs: Jobs, api: Api) -> None:
    job_id = jobs.add()
    address = f"/dashboard/jobs/{job_id}"
    assert browser.post(f"{address}/cancel").status_code == 403
    assert browser.post(f"{address}/cancel", csrf="0" * 64).status_code == 403
    assert api.get(f"/v1/jobs/{job_id}").json()["status"] == "queued"
    response = browser.post(f"{address}/cancel", csrf=browser.csrf(address))
    assert response.headers["location"] == address
    assert "cancelled" in text_of(browser.get(address))


def test_cancelling_what_has_ended_is_refused_on_a_page(browser: Browser, jobs: Jobs) -> None:
    job_id = jobs.add(JobState.CANCELLED)
    address = f"/dashboard/jobs/{job_id}"
    response = browser.post(f"{address}/cancel", csrf=browser.csrf(address))
    assert response.status_code == 409
    assert "cannot be asked to cancel" in response.text


def test_a_reading_key_sees_no_button_and_cannot_cancel(
    stranger: Browser, jobs: Jobs, api: Api
) -> None:
    job_id = jobs.add()
    stranger.sign_in(api.key(["read"]))
    address = f"/dashboard/jobs/{job_id}"
    assert "Cancel job" not in text_of(stranger.get(address))
    refused = stranger.post(f"{address}/cancel", csrf=stranger.csrf(address))
    assert refused.status_code == 403
    assert api.get(f"/v1/jobs/{job_id}").json()["status"] == "queued"


def test_files_are_downloaded_with_the_cookie(browser: Browser, jobs: Jobs, api: Api) -> None:
    job_id = jobs.add()
    with api.session() as session, session.begin():
        job = session.get_one(Job, job_id)
        row = make_artifact(session, job, name="dense/config.json", bytes=7)
        file = api.settings.storage_dir / row.storage_key
    file.parent.mkdir(parents=True)
    file.write_bytes(b"content")
    response = browser.get(f"/dashboard/jobs/{job_id}/files/dense/config.json")
    assert response.content == b"content"
    assert response.headers["content-disposition"].startswith("attachment")


def test_the_stream_goes_on_behind_the_last_event_seen(browser: Browser, jobs: Jobs) -> None:
    job_id = jobs.add(JobState.CANCELLED)
    address = f"/dashboard/jobs/{job_id}/stream"
    assert "event: job.queued" in browser.get(address).text
    assert "event:" not in browser.get(f"{address}?after=1").text
    assert "event:" not in browser.get(f"{address}?after=0", **{"Last-Event-ID": "1"}).text


def test_sessions_end_by_themselves() -> None:
    token = session_token(SIGNER, "key_1", now=1000.0)
    ends = 1000.0 + LIFETIME.total_seconds()
    assert key_of(SIGNER, token, ends - 1) == "key_1"
    assert key_of(SIGNER, token, ends + 1) is None


@pytest.mark.parametrize("purpose", ["form", "sign-in"])
def test_a_signature_for_another_purpose_opens_no_session(purpose: str) -> None:
    content = session_token(SIGNER, "key_1", now=0.0).rpartition(".")[0]
    forged = f"{content}.{SIGNER.signature(purpose, content)}"  # type: ignore[arg-type]
    assert key_of(SIGNER, forged, 1.0) is None


@pytest.mark.parametrize("token", ["", ".", "a.b.c", "key_1.99999999999.00.é", "key_2.1.2.3"])
def test_made_up_tokens_open_no_session(token: str) -> None:
    assert key_of(SIGNER, token, 1.0) is None


def test_processes_of_one_data_folder_share_a_private_secret(settings: Settings) -> None:
    first = session_secret(settings)
    assert len(first) == 32
    assert session_secret(settings) == first
    assert (settings.data_dir / "session-secret").stat().st_mode & 0o777 == 0o600
    assert session_secret(settings.model_copy(update={"session_secret": "given"})) == b"given"


def test_a_job_is_paused_resumed_and_retried_by_buttons(
    browser: Browser, jobs: Jobs, api: Api
) -> None:
    job_id = jobs.add()
    address = f"/dashboard/jobs/{job_id}"
    for verb, told in (
        ("pause", "paused"),
        ("resume", "queued"),
        ("cancel", "cancelled"),
        ("retry", "queued"),
    ):
        page = browser.get(address).text
        assert f'action="{address}/{verb}"' in page
        assert browser.post(f"{address}/{verb}", csrf=browser.csrf(address)).status_code == 303
        assert api.get(f"/v1/jobs/{job_id}").json()["status"] == told
    assert f"{address}/resume" not in browser.get(address).text
    assert browser.post(f"{address}/explode", csrf=browser.csrf(address)).status_code == 422


def test_many_jobs_are_cancelled_at_once(browser: Browser, jobs: Jobs, api: Api) -> None:
    waiting, finished, other = jobs.add(), jobs.succeeded(), jobs.add()
    csrf = browser.csrf("/dashboard")
    content = {"csrf": csrf, "job": [waiting, finished]}
    sent = api.http.post("/dashboard/cancel", data=content, follow_redirects=False)
    assert sent.status_code == 303
    states = [api.get(f"/v1/jobs/{id}").json()["status"] for id in (waiting, finished, other)]
    assert states == ["cancelled", "succeeded", "queued"]
    assert browser.post("/dashboard/cancel", csrf="x", job=other).status_code == 403
