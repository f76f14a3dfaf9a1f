"""Models that a recipe can name: uploads, folders, results, and what the hub shows."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.database.states import JobState
from core.database.tables import HubToken, Job, UploadedModel
from core.planning.checkpoint import read_checkpoint
from tests.api.conftest import Api, Json, write_model
from tests.factories import make_artifact, make_job
from tests.hub.server import StandInHub

TOKENIZER = {"vocab.txt": b"[PAD]\n[UNK]\n"}


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    with StandInHub() as hub:
        yield hub


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} | TOKENIZER


def upload(api: Api, files: Any = None, headers: Json | None = None, **fields: str) -> Any:
    """`files` by name, or pairs of them where a name comes twice."""
    given = files_of(api.model) if files is None else files
    pairs = given.items() if isinstance(given, dict) else given
    parts = [("files", (name, content)) for name, content in pairs]
    sent = api.headers | (headers or {})
    return api.http.post("/v1/models", files=parts, data=fields, headers=sent)


def refused(answer: Any, status: int = 422) -> Json:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return dict(answer.json())


def test_an_uploaded_model_is_described_and_stored(api_on_each: Api) -> None:
    api = api_on_each
    answer = upload(api, name="mine")
    assert answer.status_code == 201, answer.text
    model = answer.json()
    assert re.fullmatch(r"md_[0-9a-z]{26}", model["id"])
    expected = read_checkpoint(api.model)
    assert (model["name"], model["family"], model["params"]) == ("mine", "bert", expected.params)
    assert model["source"] == {"type": "upload", "id": model["id"]}
    assert len(model["targets"]) == 12
    assert model["target_params"] == sum(target["params"] for target in model["targets"])
    first = model["targets"][0]
    assert first["name"] == "bert.encoder.layer.0.attention.self.query"
    assert (first["out_features"], first["in_features"], first["params"]) == (8, 8, 64)
    assert api.get(answer.headers["location"]).json() == model
    assert len(api.stored_files()) == 3


def test_a_recipe_can_name_it(api_on_each: Api) -> None:
    api = api_on_each
    model = upload(api).json()
    recipe = api.recipe(model=model["source"])
    plan = api.post("/v1/plans", recipe)
    assert plan.status_code == 200, plan.text
    assert plan.json()["plan"]["target_params_before"] == model["target_params"]
    job = api.post("/v1/jobs", recipe).json()
    with api.session() as session:
        row = session.get(Job, job["id"])
        assert row is not None
        assert row.inputs["model_upload"] == model["id"]
        assert set(row.inputs["model_files"]) == set(files_of(api.model))
    in_use = refused(api.delete(f"/v1/models/{model['id']}"), 409)
    assert in_use["code"] == "model_in_use"
    api.post(f"{job['links']['self']}/cancel")
    assert api.delete(f"/v1/models/{model['id']}").status_code == 204
    assert api.get(f"/v1/models/{model['id']}").status_code == 404
    gone = refused(api.post("/v1/jobs", recipe))
    assert gone["errors"][0]["pointer"] == "/model/id"


def without(name: str) -> Any:
    return lambda files: {n: content for n, content in files.items() if n != name}


def with_file(name: str, content: bytes = b"x") -> Any:
    return lambda files: files | {name: content}


UPLOADS = [
    ("no config", without("config.json"), "no config.json"),
    ("no weights", without("model.safetensors"), "neither model.safetensors"),
    ("no tokenizer", without("vocab.txt"), "no tokenizer"),
    ("a pickle", with_file("pytorch_model.bin"), "pickle"),
    ("a pickle alone", lambda _: {"pytorch_model.bin": b"x"}, "pickle"),
    ("code", with_file("modeling_own.py"), "is no file of a model"),
    ("a path", with_file("../config.json"), "is no file of a model"),
    ("an absolute path", with_file("/etc/passwd"), "is no file of a model"),
    ("a sub-folder", with_file("dense/config.json"), "is no file of a model"),
    ("no name", with_file(" "), "is no file of a model"),
    ("two configs", lambda f: [*f.items(), ("config.json", b"{}")], "config.json is there twice"),
    ("broken config", with_file("config.json", b"{"), "valid JSON"),
    ("broken weights", with_file("model.safetensors", b"x" * 100), "header"),
    ("foreign code", with_file("tokenizer_config.json", b'{"auto_map": {"a": "b"}}'), "auto_map"),
    ("unknown family", with_file("config.json", b'{"model_type": "x"}'), "is not known"),
    ("nothing", lambda _: {}, ""),
]


@pytest.mark.parametrize(("change", "words"), [u[1:] for u in UPLOADS], ids=[u[0] for u in UPLOADS])
def test_bad_uploads_are_refused_and_gone(api: Api, change: Any, words: str) -> None:
    files = change(files_of(api.model))
    if files:
        problem = refused(upload(api, files))
        (error,) = problem["errors"]
        assert error["parameter"] == "files"
        assert words in error["detail"]
    else:
        body, headers = b"--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}
        answer = api.http.post("/v1/models", content=body, headers=api.headers | headers)
        assert answer.status_code in {400, 422}
    assert api.count(UploadedModel) == 0
    assert api.stored_files() == []
    assert list((api.settings.data_dir / "incoming").glob("*")) == []


def test_an_upload_beyond_the_limit_is_cut_off(api: Api) -> None:
    limit = api.settings.max_upload_bytes
    files = files_of(api.model) | {"vocab.json": b"x" * (limit // 2), "merges.txt": b"x" * limit}
    assert refused(upload(api, files), 413)["code"] == "too_large"
    assert api.stored_files() == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (
            b'--x\r\nContent-Disposition: form-data; name="files"; filename="vocab.txt"\r\n\r\na',
            400,
        ),
        (b'--x\r\nContent-Disposition: form-data; name="other"\r\n\r\na\r\n--x--', 422),
        (b"--x\r\nContent-Type: text/plain\r\n\r\na\r\n--x--", 400),
        (b"no form", 400),
    ],
)
def test_bad_forms_are_refused(api: Api, body: bytes, status: int) -> None:
    headers = api.headers | {"Content-Type": "multipart/form-data; boundary=x"}
    refused(api.http.post("/v1/models", content=body, headers=headers), status)
    assert api.stored_files() == []


def test_the_same_key_uploads_once(api: Api) -> None:
    key = {"Idempotency-Key": "once"}
    first = upload(api, headers=key)
    again = upload(api, headers=key)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()
    assert api.count(UploadedModel) == 1
    other = upload(api, files_of(api.model) | {"vocab.txt": b"[PAD]\n"}, headers=key)
    assert refused(other)["code"] == "idempotency_key_reused"


def write_artifact(api: Api, folder: Path) -> Path:
    """As a job of `api.model` leaves it: query is factored with rank 2."""
    import numpy as np
    from safetensors.numpy import load_file, save_file

    tensors = load_file(api.model / "model.safetensors")
    layer = "bert.encoder.layer.0.attention.self.query"
    del tensors[f"{layer}.weight"]
    tensors[f"{layer}.outer"] = np.ones((8, 2), np.float32)
    tensors[f"{layer}.inner"] = np.ones((2, 8), np.float32)
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors")
    config = json.loads((api.model / "config.json").read_text())
    config |= {
        "model_type": "rankwise-bert",
        "architectures": ["RankwiseBertForSequenceClassification"],
        "auto_map": {"AutoConfig": "configuration_rankwise.X"},
        "ranks": {layer: 2},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def finished_job(api: Api) -> str:
    with api.session() as session, session.begin():
        job = make_job(session, state=JobState.SUCCEEDED, name="compressed")
        job.finished_at = job.created_at
        folder = api.settings.storage_dir / "jobs" / job.id / "e1"
        for path in write_artifact(api, folder).iterdir():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            size = path.stat().st_size
            make_artifact(session, job, name=path.name, bytes=size, sha256=digest)
        return job.id


def test_a_result_can_be_compressed_further(api_on_each: Api) -> None:
    api = api_on_each
    id = finished_job(api)
    expected = read_checkpoint(api.model)
    shown = api.get(f"/v1/models/{id}").json()
    assert (shown["family"], shown["params"]) == ("bert", expected.params)
    assert shown["bytes"] == expected.bytes  # the dense shapes, not the factors
    recipe = api.recipe(model=shown["source"])
    plan = api.post("/v1/plans", recipe).json()
    assert plan["plan"]["target_params_before"] == shown["target_params"]
    job = api.post("/v1/jobs", recipe)
    assert job.status_code == 202, job.text
    with api.session() as session:
        row = session.get(Job, job.json()["id"])
        assert row is not None
        assert row.inputs["model_job"] == id
        assert set(row.inputs["model_files"]) == {"config.json", "model.safetensors"}


def test_a_job_without_a_result_is_refused(api: Api) -> None:
    with api.session() as session, session.begin():
        failed = make_job(session, state=JobState.FAILED).id
    kept = finished_job(api)
    for path in (api.settings.storage_dir / "jobs" / kept).rglob("model.safetensors"):
        path.unlink()
    unknown = "job_" + "0" * 26
    words = {failed: "it is failed", kept: "no longer stored", unknown: "there is no job"}
    for id, expected in words.items():
        problem = refused(api.post("/v1/jobs", api.recipe(model={"type": "job", "id": id})))
        assert (problem["code"], problem["errors"][0]["pointer"]) == ("model_refused", "/model/id")
        assert expected in problem["detail"]
        assert api.get(f"/v1/models/{id}").status_code == 404


def test_other_projects_models_cannot_be_named(api: Api) -> None:
    uploaded, id = upload(api).json(), finished_job(api)
    stranger = api.as_project("prj_other")
    for source in (uploaded["source"], {"type": "job", "id": id}):
        problem = refused(stranger.post("/v1/jobs", stranger.recipe(model=source)))
        assert problem["errors"][0]["pointer"] == "/model/id"
    listed = stranger.get("/v1/models").json()["data"]
    assert [model["source"]["type"] for model in listed] == ["path"]


def test_all_three_kinds_are_listed_page_by_page(api: Api, model_root: Path) -> None:
    write_model(model_root / "group" / "deeper")
    write_model(model_root / "a" / "b" / "too-deep")
    write_model(model_root / "unknown", model_type="x")
    (model_root / "link").symlink_to(model_root / "tiny")
    uploads = [upload(api, name=f"m{number}").json()["id"] for number in range(3)]
    job = finished_job(api)
    for order in ("desc", "asc"):
        seen: list[Json] = []
        after = ""
        while True:
            route = f"/v1/models?limit=2&order={order}{after}"
            page = api.get(route).json()
            seen += page["data"]
            assert page["has_more"] == (page["next_cursor"] is not None)
            if not page["has_more"]:
                break
            after = f"&after={page['next_cursor']}"
        times = [model["created_at"] for model in seen]
        assert times == sorted(times, reverse=order == "desc")
        assert len(seen) == 6
        names = {model["name"] for model in seen if model["source"]["type"] == "path"}
        assert names == {"tiny", "deeper"}
        assert {model["id"] for model in seen} >= {*uploads, job}
        assert all("targets" not in model for model in seen)


def test_a_listed_folder_can_be_looked_at_and_named(api: Api) -> None:
    (listed,) = api.get("/v1/models").json()["data"]
    shown = api.get(f"/v1/models/{listed['id']}").json()
    assert shown["source"] == {"type": "path", "path": str(api.model)}
    assert len(shown["targets"]) == 12
    assert api.post("/v1/plans", api.recipe(model=shown["source"])).status_code == 200
    assert refused(api.delete(f"/v1/models/{listed['id']}"), 404)["code"] == "not_found"


def test_a_link_on_the_way_to_a_model_is_refused(api: Api, model_root: Path) -> None:
    (model_root / "link").symlink_to(api.model)
    recipe = api.recipe(model={"type": "path", "path": "link"})
    problem = refused(api.post("/v1/jobs", recipe))
    assert problem["errors"][0]["pointer"] == "/model/path"
    assert "is a link" in problem["detail"]


@pytest.fixture
def api_with_hub(api: Api, hub: StandInHub) -> Api:
    changed = api.settings.model_copy(update={"hub_endpoint": hub.url})
    api.app.state.settings = api.settings = changed
    return api


def test_a_hubs_model_is_pinned_and_planned_without_its_weights(
    api_with_hub: Api, hub: StandInHub, tmp_path: Path
) -> None:
    api = api_with_hub
    served = write_model(tmp_path / "served")
    for name, content in TOKENIZER.items():
        (served / name).write_bytes(content)
    commit = hub.add("model", "org/tiny", served, branches=("main", "v1"))
    recipe = api.recipe(model={"type": "hub", "id": "org/tiny", "revision": "v1"})
    by_path = api.recipe(model={"type": "path", "path": str(api.model)})
    assert (
        api.post("/v1/plans", recipe).json()["plan"]["target_params_before"]
        == api.post("/v1/plans", by_path).json()["plan"]["target_params_before"]
    )
    asked = [span for method, path, span in hub.requests if path.endswith(".safetensors")]
    assert asked
    assert None not in asked
    hub.requests.clear()
    job = api.post("/v1/jobs", recipe).json()
    assert len(hub.requests) == 1  # a commit that was read before is only pinned
    assert job["recipe"]["model"]["revision"] == commit
    with api.session() as session:
        row = session.get(Job, job["id"])
        assert row is not None
        names = ["config.json", "model.safetensors", "vocab.txt"]
        place = {"id": "org/tiny", "commit": commit, "files": names}
        assert row.inputs["model_hub"] == place
        assert row.inputs["model_digest"] == read_checkpoint(served).digest


def test_what_the_hub_does_not_have_is_refused_by_field(
    api_with_hub: Api, hub: StandInHub, tmp_path: Path
) -> None:
    api = api_with_hub
    pickled = write_model(tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    hub.add("model", "org/pickled", pickled)
    hub.add("model", "org/private", api.model, token="hf_secret")
    cases = [
        ({"id": "org/none"}, "/model/id"),
        ({"id": "org/private"}, "/model/id"),
        ({"id": "org/pickled"}, "/model/id"),
        ({"id": "org/pickled", "revision": "v9"}, "/model/revision"),
    ]
    for source, pointer in cases:
        answer = api.post("/v1/jobs", api.recipe(model={"type": "hub", **source}))
        problem = refused(answer)
        assert (problem["code"], problem["errors"][0]["pointer"]) == ("model_refused", pointer)


def test_a_model_beyond_the_limit_is_refused(api: Api) -> None:
    api.app.state.settings = api.settings.model_copy(update={"max_model_bytes": 100})
    problem = refused(api.post("/v1/jobs", api.recipe()))
    assert problem["errors"][0]["pointer"] == "/model/path"


def test_a_hub_that_is_away_is_the_hubs_fault(api: Api) -> None:
    with StandInHub() as hub:
        address = hub.url
    api.app.state.settings = api.settings.model_copy(update={"hub_endpoint": address})
    recipe = api.recipe(model={"type": "hub", "id": "org/tiny"})
    assert refused(api.post("/v1/jobs", recipe), 503)["code"] == "hub_away"
    assert api.count(Job) == 0


def test_the_hub_token_is_written_and_never_shown(
    api_with_hub: Api, hub: StandInHub, tmp_path: Path
) -> None:
    api = api_with_hub
    hub.add("model", "org/private", api.model, token="hf_secret")
    assert api.get("/v1/hub-token").json() == {
        "object": "hub_token",
        "is_set": False,
        "created_at": None,
    }
    for token in ("hf_wrong", "hf_secret"):
        set_ = api.http.put("/v1/hub-token", json={"token": token}, headers=api.headers)
        assert set_.status_code == 200
        assert token not in set_.text
    shown = api.get("/v1/hub-token")
    assert shown.json() == set_.json()
    assert shown.json()["is_set"]
    with api.session() as session:
        (row,) = session.query(HubToken).all()
        assert "hf_secret" not in row.encrypted
    recipe = api.recipe(model={"type": "hub", "id": "org/private"})
    job = api.post("/v1/jobs", recipe)
    assert job.status_code == 202, job.text
    assert "hf_secret" not in job.text
    with api.session() as session:
        row_ = session.get(Job, job.json()["id"])
        assert row_ is not None
        assert "hf_secret" not in json.dumps([row_.inputs, row_.recipe])
    assert api.delete("/v1/hub-token").status_code == 204
    assert refused(api.post("/v1/jobs", recipe))["errors"][0]["pointer"] == "/model/id"
