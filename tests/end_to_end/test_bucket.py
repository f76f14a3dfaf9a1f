"""The service on an S3-compatible store: from POST to download, and while the store is away."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.artifact import check_sums
from demo.service import Service, running_service
from tests.end_to_end.client import PATIENCE_S, Client, Json
from tests.end_to_end.conftest import QUICK
from tests.failing_proxy import FailingProxy, Fault, failing_proxy
from tests.object_store import ObjectStore

PLAIN = {"finetune": {"type": "none"}}


@pytest.fixture(scope="module")
def proxy(object_store: ObjectStore) -> Iterator[FailingProxy]:
    with failing_proxy(object_store.endpoint) as running:
        yield running


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def service(
    data_dir: Path, models: Path, object_store: ObjectStore, proxy: FailingProxy
) -> Iterator[Service]:
    given = object_store.settings(s3_endpoint=proxy.address)
    bucket = {f"RANKWISE_{name.upper()}": str(value) for name, value in given.items()}
    with running_service(data_dir, models, **QUICK, **bucket) as running:
        yield running


@pytest.fixture(scope="module")
def memory() -> Json:
    """The first job of the module, run once and looked at by several tests."""
    return {}


@pytest.fixture
def finished(client: Client, memory: Json) -> Json:
    if not memory:
        memory.update(client.run(client.recipe(name="first", **PLAIN)))
    return memory


def test_an_artifact_comes_from_the_bucket_with_its_checksums(
    client: Client, finished: Json, data_dir: Path, tmp_path: Path
) -> None:
    client.download(finished["id"], tmp_path)
    assert check_sums(tmp_path) > 0
    assert not (data_dir / "storage").exists()


def test_a_part_of_a_file_is_what_it_is_of_the_whole(client: Client, finished: Json) -> None:
    content = f"/v1/jobs/{finished['id']}/artifacts/model.safetensors/content"
    whole = client.http.get(content).content
    part = client.http.get(content, headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, whole[1000:2000])


def test_a_plan_finds_the_spectra_and_a_job_the_result_of_another(
    client: Client, finished: Json
) -> None:
    plan = client.post("/v1/plans", finished["recipe"]).raise_for_status().json()
    assert plan["basis"] == "cached-spectra"
    further = client.recipe(model={"type": "job", "id": finished["id"]}, **PLAIN)
    client.run(further)


def test_a_job_outlives_a_bucket_that_goes_away_while_it_runs(
    client: Client, proxy: FailingProxy, tmp_path: Path
) -> None:
    job_id = client.submit(client.recipe(name="outlives", seed=3, **PLAIN))
    client.wait_for_event(job_id, "job.running")
    proxy.fail(Fault.REFUSED, first=1)
    try:
        queued = put_off(client, job_id)
        assert "the object store did not answer" in queued["data"]["detail"]
        ready = client.http.get("/readyz")
        assert (ready.status_code, ready.json()["checks"]["storage"]["ok"]) == (503, False)
        refused = client.http.post("/v1/datasets", files={"file": ("t.csv", b"text\nabc\n")})
        assert (refused.status_code, refused.json()["code"]) == (503, "storage_unavailable")
        assert client.listed(job_id, "artifacts") == []
    finally:
        proxy.work()
    job = client.wait_until_finished(job_id)
    assert (job["status"], job["crashes"]) == ("succeeded", 0)
    client.download(job_id, tmp_path)
    assert check_sums(tmp_path) > 0


def put_off(client: Client, job_id: str) -> Json:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for event in client.listed(job_id, "events"):
            if event["data"].get("reason") == "storage_failed":
                return event
        time.sleep(0.1)
    raise AssertionError(f"not put off within {PATIENCE_S} s: {client.job(job_id)}")
