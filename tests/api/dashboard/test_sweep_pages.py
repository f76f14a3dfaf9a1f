"""The pages of sweeps: none, many, and one in the middle of it; what its buttons do."""

import pytest

from core.database.tables import Job
from tests.api.conftest import Api, Json
from tests.api.dashboard.conftest import Browser, text_of
from tests.api.test_sweeps import finish, sweep


@pytest.fixture
def made(api: Api) -> Json:
    found: Json = api.post("/v1/sweeps", sweep(api, name="how small")).json()
    return found


def test_without_sweeps_the_page_shows_how_to_post_one(browser: Browser) -> None:
    page = text_of(browser.get("/dashboard/sweeps"))
    assert "No sweep yet" in page
    assert "/v1/sweeps" in page


def test_the_list_tells_how_far_each_is(browser: Browser, made: Json) -> None:
    page = text_of(browser.get("/dashboard/sweeps"))
    assert "how small tiny 3 budgets × 2 methods 0 of 6 6 queued" in page


def test_before_anything_is_measured_points_wait(browser: Browser, made: Json) -> None:
    page = browser.get(f"/dashboard/sweeps/{made['id']}")
    assert "No point has been measured yet." in page.text
    assert text_of(page).count("queued") == 6
    assert 'data-refresh="3"' in page.text


def test_measured_points_are_drawn_and_listed(browser: Browser, made: Json, api: Api) -> None:
    finish(api, made["id"])
    page = browser.get(f"/dashboard/sweeps/{made['id']}?against=params")
    assert page.text.count('class="point knee"') == 1
    assert page.text.count('class="point front"') == 2
    assert page.text.count('class="point beaten"') == 2
    shown = text_of(page)
    assert "On the validation split" in shown
    assert "svd keep 30 % of targets knee" in shown
    assert "fwsvd keep 25 % of targets not finite" in shown
    assert "data-refresh" not in page.text
    assert "Cancel what is left" not in shown


def test_a_point_is_promoted_by_a_button(browser: Browser, made: Json, api: Api) -> None:
    finish(api, made["id"])
    address = f"/dashboard/sweeps/{made['id']}"
    point = api.get(made["links"]["points"]).json()["data"][0]
    sent = browser.post(f"{address}/promote", csrf=browser.csrf(address), job_id=point["job_id"])
    assert sent.status_code == 303
    job = api.get(sent.headers["Location"].replace("/dashboard", "/v1")).json()
    assert job["recipe"]["evaluation"]["split"] == "test"
    assert browser.post(f"{address}/promote", csrf="x", job_id=point["job_id"]).status_code == 403
    assert api.count(Job) == 7


def test_what_is_left_is_cancelled_by_a_button(browser: Browser, made: Json, api: Api) -> None:
    address = f"/dashboard/sweeps/{made['id']}"
    assert browser.post(f"{address}/cancel", csrf=browser.csrf(address)).status_code == 303
    assert api.get(made["links"]["self"]).json()["statuses"] == {"cancelled": 6}


def test_a_reader_has_no_buttons(api: Api, stranger: Browser, made: Json) -> None:
    finish(api, made["id"])
    stranger.sign_in(api.key(["read"]))
    address = f"/dashboard/sweeps/{made['id']}"
    assert "Promote" not in text_of(stranger.get(address))
    csrf = stranger.csrf(address)
    assert stranger.post(f"{address}/cancel", csrf=csrf).status_code == 403
    api.http.cookies.clear()


def test_another_projects_sweep_is_not_there(api: Api, stranger: Browser, made: Json) -> None:
    stranger.sign_in(api.as_project("prj_other").token)
    assert stranger.get(f"/dashboard/sweeps/{made['id']}").status_code == 404
    assert "No sweep yet" in text_of(stranger.get("/dashboard/sweeps"))
    api.http.cookies.clear()
