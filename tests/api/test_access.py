"""Every route asks for a key; keys reach their own project and their own scopes only."""

from datetime import timedelta
from typing import Any

import pytest

from core.database.tables import ApiKey, now
from core.webhooks.announcing import add_deliveries
from tests.api.conftest import Api
from tests.factories import (
    make_dataset,
    make_job,
    make_sweep,
    make_uploaded_model,
    make_webhook_endpoint,
)

ROUTES = [
    ("POST", "/v1/jobs"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/{job}"),
    ("PATCH", "/v1/jobs/{job}"),
    ("DELETE", "/v1/jobs/{job}"),
    ("POST", "/v1/jobs/{job}/cancel"),
    ("POST", "/v1/jobs/{job}/pause"),
    ("POST", "/v1/jobs/{job}/resume"),
    ("POST", "/v1/jobs/{job}/retry"),
    ("GET", "/v1/jobs/{job}/stages"),
    ("GET", "/v1/jobs/{job}/layers"),
    ("GET", "/v1/jobs/{job}/changed-answers"),
    ("GET", "/v1/jobs/{job}/metrics"),
    ("GET", "/v1/jobs/{job}/attempts"),
    ("GET", "/v1/jobs/{job}/events"),
    ("GET", "/v1/jobs/{job}/logs"),
    ("GET", "/v1/jobs/{job}/artifacts"),
    ("POST", "/v1/jobs/{job}/artifacts/model.safetensors/link"),
    ("GET", "/v1/jobs/{job}/artifacts/model.safetensors/content"),
    ("HEAD", "/v1/jobs/{job}/artifacts/model.safetensors/content"),
    ("GET", "/v1/comparisons"),
    ("POST", "/v1/sweeps"),
    ("GET", "/v1/sweeps"),
    ("GET", "/v1/sweeps/{sweep}"),
    ("DELETE", "/v1/sweeps/{sweep}"),
    ("GET", "/v1/sweeps/{sweep}/points"),
    ("GET", "/v1/sweeps/{sweep}/pareto"),
    ("POST", "/v1/sweeps/{sweep}/promote"),
    ("POST", "/v1/sweeps/{sweep}/cancel"),
    ("POST", "/v1/webhook-endpoints"),
    ("GET", "/v1/webhook-endpoints"),
    ("GET", "/v1/webhook-endpoints/{endpoint}"),
    ("PATCH", "/v1/webhook-endpoints/{endpoint}"),
    ("DELETE", "/v1/webhook-endpoints/{endpoint}"),
    ("POST", "/v1/webhook-endpoints/{endpoint}/test"),
    ("GET", "/v1/webhook-endpoints/{endpoint}/deliveries"),
    ("POST", "/v1/webhook-endpoints/{endpoint}/deliveries/{delivery}/redeliver"),
    ("POST", "/v1/plans"),
    ("POST", "/v1/datasets"),
    ("GET", "/v1/datasets"),
    ("GET", "/v1/datasets/{dataset}"),
    ("DELETE", "/v1/datasets/{dataset}"),
    ("POST", "/v1/models"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{model}"),
    ("DELETE", "/v1/models/{model}"),
    ("PUT", "/v1/hub-token"),
    ("GET", "/v1/hub-token"),
    ("DELETE", "/v1/hub-token"),
    ("GET", "/v1/methods"),
    ("GET", "/v1/methods/kfac"),
    ("GET", "/v1/presets"),
    ("GET", "/v1/usage"),
    ("GET", "/v1/retention"),
    ("PUT", "/v1/retention"),
    ("GET", "/v1/retention/preview"),
    ("POST", "/v1/api-keys"),
    ("GET", "/v1/api-keys"),
    ("DELETE", "/v1/api-keys/{key}"),
]
OPEN = {"/healthz", "/readyz"}


def test_the_table_above_names_every_route(api: Api) -> None:
    documented = {
        (method.upper(), path)
        for path, methods in api.get("/openapi.json").json()["paths"].items()
        for method in methods
        if path not in OPEN
    }
    named = {
        "{job}": "{job_id}",
        "{dataset}": "{dataset_id}",
        "{key}": "{key_id}",
        "{model}": "{model_id}",
        "{sweep}": "{sweep_id}",
        "{endpoint}": "{endpoint_id}",
        "{delivery}": "{delivery_id}",
    }
    names = {"model.safetensors": "{name}", "/kfac": "/{type}"}
    table = set()
    for method, path in ROUTES:
        for short, long in (named | names).items():
            path = path.replace(short, long)
        table.add((method, path))
    assert documented == table


@pytest.mark.parametrize(("method", "route"), ROUTES, ids=[f"{m} {r}" for m, r in ROUTES])
def test_without_a_usable_key_every_route_answers_401(api: Api, method: str, route: str) -> None:
    revoked = api.key(["admin"])
    expired = api.key(["admin"], expires_at=now() - timedelta(seconds=1))
    with api.session() as session, session.begin():
        row = session.get(ApiKey, f"key_{revoked.split('_')[1]}")
        assert row is not None
        row.revoked_at = now()
    made_up = "rw_0123456789abcdef_" + "0" * 64 + "_00000000"
    wrong = ["", "Bearer", "Basic abc", *(f"Bearer {t}" for t in (revoked, expired, made_up, "x"))]
    ids = {"sweep": "swp_1", "endpoint": "wh_1", "delivery": "msg_1"}
    path = route.format(job="job_1", dataset="ds_1", key="key_1", model="md_1", **ids)
    for authorization in wrong:
        headers = {"Authorization": authorization} if authorization else {}
        refused = api.http.request(method, path, headers=headers)
        assert refused.status_code == 401, authorization
        assert refused.headers["www-authenticate"].startswith("Bearer")
        if method != "HEAD":
            assert refused.json()["code"] == "unauthorized"


def test_a_valid_id_with_another_secret_is_refused(api: Api) -> None:
    from core import keys

    _, id, _, _ = api.token.split("_")
    other = keys.generate().split("_")[2]
    forged = f"rw_{id}_{other}"
    forged = f"{forged}_{keys._checksum(forged)}"
    assert keys.parse(forged) is not None
    refused = api.http.get("/v1/jobs", headers={"Authorization": f"Bearer {forged}"})
    assert refused.status_code == 401


@pytest.mark.parametrize(("method", "route"), [r for r in ROUTES if "{" in r[1]])
def test_another_projects_things_do_not_exist(api: Api, method: str, route: str) -> None:
    with api.session() as session, session.begin():
        job, dataset = make_job(session), make_dataset(session)
        model, sweep = make_uploaded_model(session), make_sweep(session)
        endpoint = make_webhook_endpoint(session)
        (delivery,) = add_deliveries(session, [endpoint], "webhook.test", {})
        ids = {"sweep": sweep.id, "endpoint": endpoint.id, "delivery": delivery.id}
    key = f"key_{api.token.split('_')[1]}"
    stranger = api.as_project("prj_other")
    path = route.format(job=job.id, dataset=dataset.id, key=key, model=model.id, **ids)
    body: Any = {} if method == "PATCH" else None
    if path.endswith("/promote"):
        body = {"job_id": job.id}
    refused = stranger.http.request(method, path, headers=stranger.headers, json=body)
    assert refused.status_code == 404
    assert api.get("/v1/api-keys").status_code == 200


def test_lists_hold_the_callers_own_things_only(api: Api) -> None:
    api.post("/v1/jobs", api.recipe())
    stranger = api.as_project("prj_other")
    for route in ("/v1/jobs", "/v1/datasets"):
        assert len(api.get(route).json()["data"]) == 1
        assert stranger.get(route).json()["data"] == []
    assert len(stranger.get("/v1/api-keys").json()["data"]) == 1


def test_another_projects_dataset_cannot_be_submitted(api: Api) -> None:
    stranger = api.as_project("prj_other")
    recipe = stranger.recipe(dataset=api.upload().json()["id"])
    refused = stranger.post("/v1/jobs", recipe)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "/task/dataset/id"


def test_scopes_are_held_to(api: Api) -> None:
    reader, submitter = (api.key(["read"]), api.key(["submit"]))
    recipe = api.recipe()

    def status(token: str, method: str, route: str, **options: object) -> int:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        answer = api.http.request(method, route, headers=headers, **options)  # type: ignore[arg-type]
        return answer.status_code

    assert status(reader, "GET", "/v1/jobs") == 200
    assert status(reader, "POST", "/v1/plans", json=recipe) == 200
    assert status(reader, "POST", "/v1/jobs", json=recipe) == 403
    assert status(submitter, "POST", "/v1/jobs", json=recipe) == 202
    assert status(submitter, "GET", "/v1/jobs") == 200
    assert status(submitter, "GET", "/v1/api-keys") == 403
    assert status(submitter, "POST", "/v1/api-keys", json={"scopes": ["admin"]}) == 403


def test_a_key_is_issued_used_and_revoked(api_on_each: Api) -> None:
    api = api_on_each
    issued = api.post("/v1/api-keys", {"name": "pipeline", "scopes": ["read"]})
    assert issued.status_code == 201
    token, id = issued.json()["key"], issued.json()["id"]
    headers = {"Authorization": f"Bearer {token}"}
    assert api.http.get("/v1/jobs", headers=headers).status_code == 200
    listed = {key["id"]: key for key in api.get("/v1/api-keys").json()["data"]}
    assert listed[id]["last_used_at"] is not None
    assert "key" not in listed[id]
    assert api.delete(f"/v1/api-keys/{id}").status_code == 204
    assert api.delete(f"/v1/api-keys/{id}").status_code == 204
    assert api.http.get("/v1/jobs", headers=headers).status_code == 401


def test_only_the_digest_is_stored(api: Api) -> None:
    token = api.post("/v1/api-keys", {"scopes": ["read"]}, **{"Idempotency-Key": "k"}).json()["key"]
    secret = token.split("_")[2]
    for file in api.settings.data_dir.parent.glob("*.db*"):
        assert secret.encode() not in file.read_bytes()


def test_use_is_noted_at_most_once_a_minute(api: Api) -> None:
    id = f"key_{api.token.split('_')[1]}"

    def last_used() -> object:
        with api.session() as session:
            row = session.get(ApiKey, id)
            assert row is not None
            return row.last_used_at

    api.get("/v1/jobs")
    first = last_used()
    api.get("/v1/jobs")
    assert last_used() == first
    with api.session() as session, session.begin():
        row = session.get(ApiKey, id)
        assert row is not None
        row.last_used_at = now() - timedelta(seconds=61)
    api.get("/v1/jobs")
    assert last_used() > first  # type: ignore[operator]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"scopes": []}, "/scopes"),
        ({}, "/scopes"),
        ({"scopes": ["write"]}, "/scopes/0"),
        ({"scopes": ["read"], "name": "x" * 201}, "/name"),
        ({"scopes": ["read"], "expires_at": "tomorrow"}, "/expires_at"),
        ({"scopes": ["read"], "expires_at": "2030-01-01T00:00:00"}, "/expires_at"),
        ({"scopes": ["read"], "expires_at": "2001-01-01T00:00:00Z"}, "/expires_at"),
        ({"scopes": ["read"], "expires_at": "9999-12-31T23:59:59-23:59"}, "/expires_at"),
        ({"scopes": ["read"], "project_id": "prj_other"}, "/project_id"),
    ],
)
def test_bad_key_requests_are_refused_by_field(
    api: Api, body: dict[str, object], pointer: str
) -> None:
    before = api.count(ApiKey)
    refused = api.post("/v1/api-keys", body)
    assert refused.status_code == 422
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
    assert api.count(ApiKey) == before
