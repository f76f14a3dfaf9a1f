"""Jobs whose model comes from a hub, an upload, or an earlier job's result."""

import csv
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import snapshot_download

from demo.service import Service, running_service
from tests.end_to_end.client import Client, Json
from tests.end_to_end.conftest import QUICK
from tests.hub.server import StandInHub

TOKEN = "hf_canary_0123456789"
PLAIN = {"finetune": {"type": "none"}}


@pytest.fixture(scope="module")
def hub(models: Path) -> Iterator[StandInHub]:
    with StandInHub() as hub:
        hub.add("model", "org/tiny", models / "tiny")
        hub.add("model", "org/private", models / "tiny", token=TOKEN)
        yield hub


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def service(data_dir: Path, hub: StandInHub, models: Path) -> Iterator[Service]:
    with running_service(data_dir, models, RANKWISE_HUB_ENDPOINT=hub.url, **QUICK) as running:
        yield running


@pytest.fixture(scope="module")
def first(service: Service, models: Path, texts: Path) -> Json:
    """A finished job on the same model by its path."""
    headers = {"Authorization": f"Bearer {service.key}"}
    with httpx.Client(base_url=service.url, headers=headers, timeout=30) as http:
        client = Client(http, model=models / "tiny", texts=texts)
        return client.run(client.recipe(**PLAIN))


def test_a_hubs_model_gives_the_result_that_its_folder_gives(
    client: Client, hub: StandInHub, first: Json
) -> None:
    recipe = client.recipe(model={"type": "hub", "id": "org/tiny"}, **PLAIN)
    hub.requests.clear()
    plan = client.post("/v1/plans", recipe).raise_for_status().json()
    assert plan["basis"] == "cached-spectra"  # the digest is known before anything is downloaded
    assert all(asked for _, path, asked in hub.requests if path.endswith(".safetensors"))
    job = client.run(recipe)
    assert len(job["recipe"]["model"]["revision"]) == 40
    assert job["result"]["metrics"] == first["result"]["metrics"]
    progress = [e["data"] for e in client.listed(job["id"], "events") if "progress" in e["type"]]
    assert any(data["stage"] == "resolve" and data["unit"] == "byte" for data in progress)


def test_a_second_job_downloads_nothing(client: Client, hub: StandInHub) -> None:
    client.run(client.recipe(model={"type": "hub", "id": "org/tiny"}, seed=5, **PLAIN))
    hub.requests.clear()
    client.run(client.recipe(model={"type": "hub", "id": "org/tiny"}, seed=6, **PLAIN))
    assert not [path for _, path, _ in hub.requests if path.endswith(".safetensors")]


def test_a_private_model_needs_the_projects_token_which_is_written_nowhere(
    client: Client, data_dir: Path
) -> None:
    recipe = client.recipe(model={"type": "hub", "id": "org/private"}, **PLAIN)
    refused = client.post("/v1/jobs", recipe)
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["pointer"] == "/model/id"
    assert "/v1/hub-token" in error["hint"]
    client.http.put("/v1/hub-token", json={"token": TOKEN}).raise_for_status()
    client.run(recipe)
    files = [path for path in data_dir.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert [path for path in files if TOKEN.encode() in what_is_left_of(path)] == []


def what_is_left_of(path: Path) -> bytes:
    """The service goes on removing the workspaces of finished jobs."""
    with suppress(FileNotFoundError):
        return path.read_bytes()
    return b""


def test_an_uploaded_model_gives_the_result_that_its_folder_gives(
    client: Client, models: Path, first: Json
) -> None:
    files = [("files", (path.name, path.read_bytes())) for path in (models / "tiny").iterdir()]
    uploaded = client.http.post("/v1/models", files=files).raise_for_status().json()
    job = client.run(client.recipe(model=uploaded["source"], **PLAIN))
    assert job["result"]["metrics"] == first["result"]["metrics"]
    assert client.http.delete(f"/v1/models/{uploaded['id']}").status_code == 204


def test_an_earlier_result_is_compressed_further(
    client: Client, service: Service, first: Json, tmp_path: Path
) -> None:
    recipe = client.recipe(
        model={"type": "job", "id": first["id"]},
        budget={"type": "keep_ratio", "value": 0.25},
        exports=["safetensors", "dense"],
        **PLAIN,
    )
    second = client.run(recipe)
    before, after = first["result"]["params"], second["result"]["params"]
    assert after["targets"]["before"] == before["targets"]["before"]
    assert after["targets"]["after"] <= 0.25 * before["targets"]["before"]
    # it starts from where the first one ended: no head is made anew
    ended = first["result"]["metrics"]["factorized"]["accuracy"]["value"]
    assert second["result"]["metrics"]["dense"]["accuracy"]["value"] == pytest.approx(ended)
    shown = client.http.get(f"/v1/models/{second['id']}").raise_for_status().json()
    assert shown["source"] == {"type": "job", "id": second["id"]}
    assert shown["target_params"] == before["targets"]["before"]


def test_huggingface_hub_itself_downloads_from_the_stand_in(
    hub: StandInHub, models: Path, tmp_path: Path
) -> None:
    folder = Path(snapshot_download("org/tiny", endpoint=hub.url, local_dir=tmp_path, token=False))
    for path in (models / "tiny").iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()


def test_a_task_by_its_name_reads_the_hubs_tables(
    client: Client, hub: StandInHub, texts: Path, tmp_path: Path
) -> None:
    with texts.open(encoding="utf-8", newline="") as file:
        rows = [
            {"sentence": row["text"], "label": int(row["label"] == "good")}
            for row in csv.DictReader(file)
        ]
    for split, part in (("train", rows[:480]), ("validation", rows[480:])):
        write_rows(tmp_path / "sst2" / f"{split}-00000-of-00001.parquet", part)
    hub.add("dataset", "nyu-mll/glue", tmp_path)
    recipe = client.recipe(task={"type": "named", "name": "glue/sst2", "max_length": 16}, **PLAIN)
    job = client.run(recipe)
    assert len(job["recipe"]["task"]["dataset"]["revision"]) == 40
    dense = job["result"]["metrics"]["dense"]["accuracy"]
    assert (dense["n"], dense["value"] > 0.9) == (120, True)
    again = client.recipe(task="glue/sst2", **PLAIN)
    plan = client.post("/v1/plans", again).raise_for_status().json()
    assert plan["basis"] == "shape-only"  # another max_length, other statistics


def write_rows(path: Path, rows: list[Json]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
