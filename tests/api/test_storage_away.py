"""The service on a bucket: all of it works, and none of it is a 500 while the bucket is away."""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from core.database.tables import Dataset, IdempotencyRecord, Job, UploadedModel
from core.jobs.orphans import remove_orphans
from core.settings import Settings
from core.storage.storage import Storage
from tests.api.conftest import Api
from tests.api.test_models import files_of, write_artifact
from tests.api.test_models import upload as upload_model
from tests.factories import make_artifact, make_job
from tests.failing_proxy import FailingProxy, Fault, failing_proxy
from tests.object_store import ObjectStore

CONTENT = bytes(range(256)) * 3000


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)


@pytest.fixture(scope="module")
def proxy(object_store: ObjectStore) -> Iterator[FailingProxy]:
    with failing_proxy(object_store.endpoint) as running:
        yield running


@pytest.fixture
def api_settings(
    api_settings: Settings, object_store: ObjectStore, proxy: FailingProxy
) -> Settings:
    proxy.work()
    return api_settings.model_copy(update=object_store.settings(s3_endpoint=proxy.address))


@pytest.fixture
def storage(api: Api) -> Storage:
    storage: Storage = api.app.state.storage
    return storage


def keys_in(storage: Storage) -> list[str]:
    return [key for root in ("datasets", "models", "jobs") for key in storage.list_prefix(root)]


def stored_artifact(api: Api, folder: Path) -> str:
    """A succeeded job whose artifact lies in the bucket."""
    with api.session() as session, session.begin():
        job = make_job(session, state="succeeded", name="compressed")
        job.finished_at = job.created_at
        for path in write_artifact(api, folder).iterdir():
            size, digest = path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
            row = make_artifact(session, job, name=path.name, bytes=size, sha256=digest)
            api.app.state.storage.put_file(row.storage_key, path)
        return job.id


def assert_away(answer: Any, code: str = "storage_unavailable", status: int = 503) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0
    assert "127.0.0.1" not in answer.text


def test_uploads_previews_and_jobs_work_on_a_bucket(api: Api, storage: Storage) -> None:
    dataset = api.upload()
    assert dataset.status_code == 201
    shown = api.get(f"/v1/datasets/{dataset.json()['id']}").json()
    assert shown["preview"] == dataset.json()["preview"]
    model = upload_model(api).json()
    assert api.get(f"/v1/models/{model['id']}").json()["params"] == model["params"]
    job = api.post("/v1/jobs", api.recipe(model=model["source"]))
    assert job.status_code == 202, job.text
    assert len(keys_in(storage)) == 1 + len(files_of(api.model)) + 1
    assert api.stored_files() == []


def test_a_column_of_splits_is_read_from_the_bucket(api: Api) -> None:
    lines = [
        f"text {n},{'good' if n % 2 else 'bad'},{'train' if n < 16 else 'held'}" for n in range(20)
    ]
    id = api.upload("\n".join(["text,label,part", *lines, ""]).encode()).json()["id"]
    splits = {
        "type": "named",
        "column": "part",
        "train": "train",
        "validation": None,
        "test": "held",
    }
    task = {
        "type": "text-classification",
        "dataset": {"type": "upload", "id": id},
        "splits": splits,
    }
    answer = api.post("/v1/jobs", api.recipe(dataset=id) | {"task": task})
    assert answer.status_code == 202, answer.text


def test_a_result_is_downloaded_in_parts_and_compressed_further(api: Api, tmp_path: Path) -> None:
    id = stored_artifact(api, tmp_path / "artifact")
    whole = (tmp_path / "artifact" / "model.safetensors").read_bytes()
    route = f"/v1/jobs/{id}/artifacts/model.safetensors/content"
    assert api.get(route).content == whole
    part = api.get(route, headers={"Range": "bytes=10-99"})
    assert (part.status_code, part.content) == (206, whole[10:100])
    assert api.get(route, headers={"Range": "bytes=-7"}).content == whole[-7:]
    recipe = api.recipe(model={"type": "job", "id": id})
    assert api.post("/v1/jobs", recipe).status_code == 202
    assert [model["id"] for model in api.get("/v1/models").json()["data"]].count(id) == 1


def test_readiness_names_the_storage(api: Api, proxy: FailingProxy) -> None:
    assert api.http.get("/readyz").status_code == 200
    proxy.fail(Fault.REFUSED, first=1)
    answer = api.http.get("/readyz")
    assert answer.status_code == 503
    assert [name for name, part in answer.json()["checks"].items() if not part["ok"]] == ["storage"]
    proxy.work()
    assert api.http.get("/readyz").status_code == 200


@pytest.mark.parametrize("fault", Fault)
def test_an_upload_leaves_nothing_while_the_bucket_is_away(
    api: Api, storage: Storage, proxy: FailingProxy, fault: Fault
) -> None:
    posts: list[Callable[[], Any]] = [api.upload, lambda: upload_model(api)]
    for post in posts:
        proxy.fail(fault, first=1)
        assert_away(post())
        assert (api.count(Dataset), api.count(UploadedModel)) == (0, 0)
    proxy.work()
    assert [post().status_code for post in posts] == [201, 201]


@pytest.mark.parametrize("first", [1, 2, 3, 4, 5, 6])
def test_a_model_of_which_some_files_were_stored_leaves_none_in_the_end(
    api: Api, storage: Storage, proxy: FailingProxy, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    proxy.fail(Fault.BUSY, first=first)
    assert_away(upload_model(api))
    proxy.work()
    assert api.count(UploadedModel) == 0
    monkeypatch.setattr("core.jobs.orphans.ABANDONED_AFTER_S", -60.0)
    remove_orphans(api.app.state.sessions, storage)
    assert keys_in(storage) == []


def test_an_idempotency_key_is_free_again_after_the_bucket_was_away(
    api: Api, proxy: FailingProxy
) -> None:
    proxy.fail(Fault.REFUSED, first=1)
    send = lambda: upload_model(api, headers={"Idempotency-Key": "once"})  # noqa: E731
    assert_away(send())
    assert api.count(IdempotencyRecord) == 0
    proxy.work()
    assert [send().status_code for _ in range(2)] == [201, 201]
    assert api.count(UploadedModel) == 1


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.SERVER_ERROR, Fault.HALF_ANSWER])
def test_every_read_says_that_the_bucket_is_away(
    api: Api, proxy: FailingProxy, tmp_path: Path, fault: Fault
) -> None:
    dataset, model = api.upload().json()["id"], upload_model(api).json()
    job = stored_artifact(api, tmp_path / "artifact")
    content = f"/v1/jobs/{job}/artifacts/model.safetensors/content"
    recipe = api.recipe(dataset=dataset, model=model["source"])
    proxy.fail(fault, first=1)
    for route in (f"/v1/datasets/{dataset}", f"/v1/models/{model['id']}", "/v1/models", content):
        assert_away(api.get(route))
    for route in ("/v1/jobs", "/v1/plans"):
        assert_away(api.post(route, recipe))
    assert api.http.head(content, headers=api.headers).status_code == 503
    assert api.get("/v1/datasets").status_code == 200
    assert api.get(f"/v1/jobs/{job}").status_code == 200
    assert api.count(Job) == 1


def test_a_download_that_begins_to_fail_is_refused_and_not_broken_off(
    api: Api, proxy: FailingProxy, tmp_path: Path
) -> None:
    job = stored_artifact(api, tmp_path / "artifact")
    content = f"/v1/jobs/{job}/artifacts/model.safetensors/content"
    for first in (1, 2, 3):
        proxy.fail(Fault.HALF_ANSWER, first=first)
        assert_away(api.get(content))
    proxy.work()
    assert api.get(content).status_code == 200


def test_a_deletion_is_done_and_its_files_are_collected_later(
    api: Api, storage: Storage, proxy: FailingProxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    dataset, model = api.upload().json()["id"], upload_model(api).json()["id"]
    job = stored_artifact(api, tmp_path / "artifact")
    proxy.fail(Fault.BUSY, first=1)
    for route in (f"/v1/datasets/{dataset}", f"/v1/models/{model}", f"/v1/jobs/{job}"):
        assert api.delete(route).status_code == 204
    proxy.work()
    assert keys_in(storage) != []
    monkeypatch.setattr("core.jobs.orphans.ABANDONED_AFTER_S", -60.0)
    remove_orphans(api.app.state.sessions, storage)
    assert keys_in(storage) == []


def test_a_page_says_it_too(api: Api, proxy: FailingProxy) -> None:
    from tests.api.dashboard.conftest import Browser

    browser = Browser(api)
    assert upload_model(api).status_code == 201
    assert browser.sign_in(api.token).status_code == 303
    assert browser.get("/dashboard/library").status_code == 200
    proxy.fail(Fault.REFUSED, first=1)
    page = browser.get("/dashboard/library")
    assert page.status_code == 503
    assert page.headers["content-type"].startswith("text/html")
    assert "The storage does not answer" in page.text


@pytest.mark.parametrize("call", ["shutil.copyfileobj", "os.fsync"])
def test_a_full_local_disk_is_507_and_leaves_nothing(
    sqlite_url: str,
    valkey: str,
    api_settings: Settings,
    model_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    settings = api_settings.model_copy(update={"storage_url": ""})
    app = create_app(settings)
    with TestClient(app, raise_server_exceptions=False) as http:
        api = Api(http, app, settings, settings.bootstrap_key, model_root / "tiny")
        with monkeypatch.context() as patched:
            patched.setattr(call, full)
            for post in (api.upload, lambda: upload_model(api)):
                assert_away(post(), "storage_full", 507)
        assert (api.count(Dataset), api.count(UploadedModel), api.stored_files()) == (0, 0, [])
        assert api.upload().status_code == 201


def test_no_room_to_receive_an_upload_is_507_too(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("tempfile.TemporaryDirectory", full)
        assert_away(upload_model(api), "storage_full", 507)
    assert upload_model(api).status_code == 201
