"""Wrong input gets a 4xx problem that names the field, and leaves nothing behind."""

import base64
import json
from typing import Any

import pytest

from core.database.tables import Dataset, IdempotencyRecord, Job
from tests.api.bad_recipes import ALSO, RECIPES
from tests.api.conftest import Api, Json, csv_table, write_model


def cursor(moment: str, id: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps([moment, id]).encode()).decode().rstrip("=")


@pytest.mark.parametrize("route", ["/v1/jobs", "/v1/plans"])
def test_every_bad_recipe_names_its_field_and_leaves_nothing(api: Api, route: str) -> None:
    """One service for all cases: it must be as untouched after the last as before the first."""
    dataset = api.upload().json()["id"]
    before = api.stored_files()
    for what, change, pointer, code in RECIPES:
        recipe = api.recipe(dataset=dataset)
        change(recipe)
        if what in ALSO:
            ALSO[what](recipe)
        refused = api.post(route, recipe, **{"Idempotency-Key": "same"})
        problem = refused.json()
        assert refused.status_code == 422, (what, problem)
        assert refused.headers["content-type"] == "application/problem+json"
        assert problem["errors"][0]["pointer"] == pointer, what
        assert code in ("", problem["errors"][0]["code"]), what
        assert "dictionary" not in problem["errors"][0]["detail"], "JSON has objects"
        assert problem["request_id"] == refused.headers["x-request-id"]
    assert (api.count(Job), api.count(Dataset), api.count(IdempotencyRecord)) == (0, 1, 0)
    assert api.stored_files() == before


def test_a_budget_below_the_floor_says_the_floor(api: Api) -> None:
    recipe = api.recipe(budget={"type": "keep_ratio", "value": 0.01})
    (error,) = api.post("/v1/jobs", recipe).json()["errors"]
    assert "0.21875" in error["detail"]
    assert "0.21875" in error["hint"]


def test_several_errors_are_all_named_once(api: Api) -> None:
    recipe = api.recipe(seed=-1, exports=["x"], budget={"type": "keep_ratio", "value": 2.0})
    errors = api.post("/v1/jobs", recipe).json()["errors"]
    assert sorted(e["pointer"] for e in errors) == ["/budget/value", "/exports/0", "/seed"]


BODIES: list[tuple[str, bytes, int, str]] = [
    ("empty", b"", 400, "invalid_json"),
    ("cut off", b'{"model":', 400, "invalid_json"),
    ("not UTF-8", b'{"name":"\xff"}', 400, "invalid_json"),
    ("doubled name", b'{"seed":1,"seed":2}', 400, "invalid_json"),
    ("half a surrogate pair", b'{"name":"\\ud800"}', 400, "invalid_json"),
    ("nested too deeply", b"[" * 9000, 400, "invalid_json"),
    ("null, nested deeply", b'{"a":' * 950 + b'"\\u0000"' + b"}" * 950, 0, ""),
    ("an array", b"[]", 422, "invalid_recipe"),
    ("null", b"null", 422, "invalid_recipe"),
    ("too large", b" " * 20_001, 413, "too_large"),
]


@pytest.mark.parametrize(("body", "status", "code"), [b[1:] for b in BODIES], ids=lambda x: "")
def test_bad_bodies(api: Api, body: bytes, status: int, code: str) -> None:
    refused = api.post("/v1/jobs", body)
    assert refused.status_code in ({status} if status else {400, 422})
    assert code in {"", refused.json()["code"]}
    assert api.count(Job) == 0


def test_a_body_that_hides_its_length_is_cut_off_at_the_limit(api: Api) -> None:
    taken = []

    def endless() -> Any:
        for _ in range(1000):
            taken.append(1)
            yield b" " * 1000

    headers = api.headers | {"Content-Type": "application/json"}
    refused = api.http.post("/v1/jobs", content=endless(), headers=headers)
    assert refused.status_code == 413


@pytest.mark.parametrize("given", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_content_type_is_refused(api: Api, given: str) -> None:
    refused = api.post("/v1/jobs", {}, **{"Content-Type": given})
    assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_media_type")


def test_one_label_is_refused(api: Api) -> None:
    dataset = api.upload(b"text,label\na,x\nb,x\n").json()["id"]
    (error,) = api.post("/v1/jobs", api.recipe(dataset=dataset)).json()["errors"]
    assert error["pointer"] == "/task/label"
    assert "single value 'x'" in error["detail"]


def test_empty_and_one_sided_splits_are_refused(api: Api) -> None:
    rows = [("a", "x", "train"), ("b", "y", "train"), ("c", "x", "dev"), ("d", "y", "dev")]
    rows += [("e", "x", "test"), ("f", "x", "test")]
    table = "text,label,fold\n" + "".join(",".join(row) + "\n" for row in rows)
    recipe = api.recipe(dataset=api.upload(table.encode()).json()["id"])
    named = {"type": "named", "column": "fold", "validation": "dev"}
    for splits, pointer in (
        (named, "/task/splits/test"),
        (named | {"test": "nowhere"}, "/task/splits/test"),
        (named | {"train": "text"}, "/task/splits/train"),
    ):
        recipe["task"]["splits"] = splits
        (error,) = api.post("/v1/jobs", recipe).json()["errors"]
        assert error["pointer"] == pointer
    assert api.count(Job) == 0


def test_a_dataset_under_a_root_is_checked_too(api: Api) -> None:
    (root,) = api.settings.dataset_roots
    recipe = api.recipe()

    def submitted(name: str, content: bytes) -> Any:
        (root / name).write_bytes(content)
        recipe["task"]["dataset"] = {"type": "path", "path": name}
        return api.post("/v1/jobs", recipe)

    cases = [
        ("single.csv", b"text,label\na,x\nb,x\n", "/task/label"),
        ("columns.csv", b"a,b\n1,2\n", "/task/text"),
        ("broken.jsonl", b"{\n", "/task/dataset/path"),
        ("empty.csv", b"", "/task/dataset/path"),
        ("table.parquet", b"PAR1", "/task/dataset/path"),
    ]
    for name, content, pointer in cases:
        (error,) = submitted(name, content).json()["errors"]
        assert error["pointer"] == pointer, name
    (root / "link.csv").symlink_to("/etc/passwd")
    recipe["task"]["dataset"]["path"] = "link.csv"
    assert api.post("/v1/jobs", recipe).status_code == 422
    assert api.count(Job) == 0
    assert submitted("good.csv", csv_table()).status_code == 202


@pytest.mark.parametrize(
    ("config", "files", "words"),
    [
        ({"model_type": "gpt9"}, {}, "'gpt9' is not known"),
        ({"num_hidden_layers": 3}, {}, "lacks the tensor"),
        ({"auto_map": {"AutoModel": "x.Y"}}, {}, "code of its own"),
        ({"num_hidden_layers": 200_000}, {}, "beyond"),
        ({}, {"model.safetensors": b"\0\0"}, "too short"),
    ],
)
def test_hostile_models_are_refused(
    api: Api, config: Json, files: dict[str, bytes], words: str
) -> None:
    (root,) = api.settings.model_roots
    folder = write_model(root / "hostile", **config)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    refused = api.post("/v1/jobs", api.recipe(model={"type": "path", "path": "hostile"}))
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert (error["pointer"], error["code"]) == ("/model/path", "model_refused")
    assert words in error["detail"]


def test_a_pickled_model_is_refused(api: Api) -> None:
    folder = write_model(api.settings.model_roots[0] / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    (error,) = api.post("/v1/jobs", api.recipe(model={"type": "path", "path": "pickled"})).json()[
        "errors"
    ]
    assert "pickle" in error["detail"]


@pytest.mark.parametrize(
    ("route", "status", "code"),
    [
        ("/v1/nothing", 404, "not_found"),
        ("/", 404, "not_found"),
        ("/v1/jobs/", 404, "not_found"),
        ("/v1/jobs/job_none", 404, "not_found"),
        ("/v1/jobs/%00", 400, "invalid_address"),
        ("/v1/jobs?search=%00", 400, "invalid_address"),
        ("/v1/jobs?limit=0", 422, "invalid_parameter"),
        ("/v1/jobs?limit=201", 422, "invalid_parameter"),
        ("/v1/jobs?limit=x", 422, "invalid_parameter"),
        ("/v1/jobs?order=up", 422, "invalid_parameter"),
        ("/v1/jobs?status=asleep", 422, "invalid_parameter"),
        ("/v1/jobs?label=team", 422, "invalid_parameter"),
        ("/v1/jobs?created_after=2026-01-01T00:00:00", 422, "invalid_parameter"),
        ("/v1/jobs?after=!!", 400, "invalid_cursor"),
        ("/v1/jobs?after=W10", 400, "invalid_cursor"),
        ("/v1/jobs?after=eyJhIjoxfQ", 400, "invalid_cursor"),
        ("/v1/jobs?created_after=0001-01-01T00:00:00%2B23:59", 422, "invalid_parameter"),
        (f"/v1/jobs?after={cursor('0001-01-01T00:00:00+23:59', 'job_1')}", 400, "invalid_cursor"),
        (f"/v1/jobs?after={cursor('2026-01-01T00:00:00Z', 7)}", 400, "invalid_cursor"),
        ("/v1/methods/magic", 404, "not_found"),
        ("/v1/datasets/ds_none", 404, "not_found"),
    ],
)
def test_bad_addresses(api: Api, route: str, status: int, code: str) -> None:
    refused = api.get(route)
    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["status"]) == (status, code, status)
    assert refused.headers["content-type"] == "application/problem+json"
    if code == "invalid_parameter":
        assert problem["errors"][0]["parameter"] in route


def test_a_wrong_method_is_a_problem_that_names_the_right_ones(api: Api) -> None:
    refused = api.http.put("/v1/jobs", headers=api.headers)
    assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")
    assert refused.headers["allow"]


def test_a_failure_inside_is_a_problem_without_details(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.jobs.service.listed", lambda *_: 1 / 0)
    failed = api.get("/v1/jobs")
    assert (failed.status_code, failed.json()["code"]) == (500, "internal_error")
    assert "division" not in failed.text
    assert failed.headers["x-content-type-options"] == "nosniff"


def test_a_failure_is_logged_without_the_callers_key(
    api: Api, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("api.jobs.service.listed", lambda *_: 1 / 0)
    api.get("/v1/jobs")
    logged = capfd.readouterr()
    assert "ZeroDivisionError" in logged.out + logged.err
    assert api.token not in logged.out + logged.err


def test_request_ids_are_kept_when_plain_and_made_otherwise(api: Api) -> None:
    kept = api.get("/healthz", headers={"X-Request-Id": "run-7.a"})
    made = api.get("/healthz", headers={"X-Request-Id": "a b\tc"})
    assert kept.headers["x-request-id"] == "run-7.a"
    assert made.headers["x-request-id"].startswith("req_")


def test_priority_is_bounded(api: Api) -> None:
    recipe = api.recipe()
    assert api.post("/v1/jobs?priority=101", recipe).status_code == 422
    assert api.post("/v1/jobs?priority=-100", recipe).json()["priority"] == -100


def test_json_of_a_recipe_round_trips(api: Api) -> None:
    recipe = api.recipe(labels={"team": "search"}, name="né ✓")
    shown = api.post("/v1/jobs", recipe).json()["recipe"]
    again = api.post("/v1/jobs", json.loads(json.dumps(shown)))
    assert again.status_code == 202
    assert again.json()["recipe_hash"] == api.get("/v1/jobs").json()["data"][1]["recipe_hash"]
