"""The same POST sent again does nothing and gets the first answer, on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from api.idempotency import ABANDONED_AFTER, KEPT_FOR
from core.database.tables import ApiKey, Dataset, IdempotencyRecord, Job, now
from tests.api.conftest import Api, csv_table


def keyed(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


def aged(api: Api, age: timedelta, status: int | None = None) -> None:
    values: dict[str, Any] = {"created_at": now() - age}
    if status is not None:
        values["status"] = status
    with api.session() as session, session.begin():
        session.execute(update(IdempotencyRecord).values(**values))


def test_same_key_and_body_give_the_same_answer(api_on_each: Api) -> None:
    api, recipe = api_on_each, api_on_each.recipe()
    first = api.post("/v1/jobs", recipe, **keyed("a"))
    again = api.post("/v1/jobs", recipe, **keyed("a"))
    assert first.status_code == again.status_code == 202
    assert first.json() == again.json()
    assert first.headers["location"] == again.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert api.count(Job) == 1


def test_another_body_or_address_is_refused(api_on_each: Api) -> None:
    api, recipe = api_on_each, api_on_each.recipe()
    api.post("/v1/jobs", recipe, **keyed("a"))
    for route, body in (
        ("/v1/jobs", recipe | {"seed": 1}),
        ("/v1/jobs?priority=1", recipe),
        ("/v1/plans", recipe),
    ):
        refused = api.post(route, body, **keyed("a"))
        assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert api.count(Job) == 1


def test_another_project_may_use_the_same_key(api: Api) -> None:
    stranger = api.as_project("prj_other")
    assert api.post("/v1/jobs", api.recipe(), **keyed("a")).status_code == 202
    assert stranger.post("/v1/jobs", stranger.recipe(), **keyed("a")).status_code == 202


def test_while_the_first_is_at_work_others_are_told_so(
    api_on_each: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, recipe = api_on_each, api_on_each.recipe()
    begun, go_on = threading.Event(), threading.Event()
    from api.jobs import service

    prepare = service.prepare_submission

    def slow(*arguments: Any) -> Any:
        begun.set()
        go_on.wait(20)
        return prepare(*arguments)

    monkeypatch.setattr(service, "prepare_submission", slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(api.post, "/v1/jobs", recipe, **keyed("a"))
        assert begun.wait(20)
        second = api.post("/v1/jobs", recipe, **keyed("a"))
        go_on.set()
        assert first.result().status_code == 202
    assert (second.status_code, second.json()["code"]) == (409, "idempotency_in_flight")
    assert api.count(Job) == 1


def test_many_at_once_make_one_job(api_on_each: Api) -> None:
    api, recipe = api_on_each, api_on_each.recipe()
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: api.post("/v1/jobs", recipe, **keyed("a")), range(24)))
    assert {answer.status_code for answer in answers} <= {202, 409}
    made = {answer.json()["id"] for answer in answers if answer.status_code == 202}
    assert len(made) == 1
    assert api.count(Job) == 1


def test_a_failed_first_try_frees_the_key(
    api_on_each: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, recipe = api_on_each, api_on_each.recipe()
    with monkeypatch.context() as broken:
        broken.setattr("core.jobs.submission.submit", lambda *_, **__: 1 / 0)
        assert api.post("/v1/jobs", recipe, **keyed("a")).status_code == 500
    assert api.count(IdempotencyRecord) == 0
    assert api.post("/v1/jobs", recipe, **keyed("a")).status_code == 202


def test_a_refused_first_try_frees_the_key(api: Api) -> None:
    recipe = api.recipe()
    bad = recipe | {"budget": {"type": "keep_ratio", "value": 0.001}}
    assert api.post("/v1/jobs", bad, **keyed("a")).status_code == 422
    assert api.post("/v1/jobs", recipe, **keyed("a")).status_code == 202


def test_an_abandoned_key_is_taken_over_in_time(api: Api) -> None:
    recipe = api.recipe()
    api.post("/v1/jobs", recipe, **keyed("a"))
    aged(api, ABANDONED_AFTER - timedelta(minutes=1), status=0)
    assert api.post("/v1/jobs", recipe, **keyed("a")).status_code == 409
    aged(api, ABANDONED_AFTER + timedelta(minutes=1))
    assert api.post("/v1/jobs", recipe, **keyed("a")).status_code == 202


def test_a_key_is_forgotten_after_a_day(api: Api) -> None:
    recipe = api.recipe()
    first = api.post("/v1/jobs", recipe, **keyed("a")).json()["id"]
    aged(api, KEPT_FOR - timedelta(minutes=1))
    assert api.post("/v1/jobs", recipe, **keyed("a")).json()["id"] == first
    aged(api, KEPT_FOR + timedelta(minutes=1))
    assert api.post("/v1/jobs", recipe, **keyed("a")).json()["id"] != first


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "é"])
def test_a_malformed_key_is_refused(api: Api, key: str) -> None:
    refused = api.post("/v1/jobs", api.recipe(), **{"Idempotency-Key": key.encode()})  # type: ignore[arg-type]
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["parameter"] == "Idempotency-Key"


def test_a_replayed_key_creation_does_not_show_the_key_again(api_on_each: Api) -> None:
    api = api_on_each
    body, before = {"scopes": ["read"]}, api.count(ApiKey)
    first = api.post("/v1/api-keys", body, **keyed("k")).json()
    again = api.post("/v1/api-keys", body, **keyed("k")).json()
    assert first["key"].startswith("rw_")
    assert again == first | {"key": None}
    assert api.count(ApiKey) == before + 1


def test_an_upload_is_replayed_whatever_its_boundary(api_on_each: Api) -> None:
    api = api_on_each
    headers = api.headers | keyed("u")

    def upload(content: bytes) -> Any:
        files = {"file": ("t.csv", content)}
        return api.http.post("/v1/datasets", files=files, headers=headers)

    first, again = upload(csv_table()), upload(csv_table())
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert upload(csv_table(21)).status_code == 422
    assert api.count(Dataset) == 1
    assert len(api.stored_files()) == 1


def test_plan_and_cancel_are_replayed(api: Api) -> None:
    recipe = api.recipe()
    plans = [api.post("/v1/plans", recipe, **keyed("p")) for _ in range(2)]
    assert plans[0].json() == plans[1].json()
    assert plans[1].headers["idempotency-replayed"] == "true"
    job = api.post("/v1/jobs", recipe).json()["links"]["self"]
    cancels = [api.post(f"{job}/cancel", **keyed("c")) for _ in range(2)]
    assert [answer.status_code for answer in cancels] == [202, 202]
    assert api.post(f"{job}/cancel").status_code == 409
